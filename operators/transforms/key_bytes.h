// KeyBytes: a key as bytes. Their Hash64 deals rows out, and under them its state is found.
//
// A string is its own bytes; any other type with a Codec is encoded.
#pragma once

#include <concepts>
#include <string>
#include <string_view>

#include "core/codec.h"

namespace weir {

// A view of the key itself or of `buffer`, which it may overwrite.
template <class K>
std::string_view KeyBytes(const K& key, std::string& buffer) {
  if constexpr (std::convertible_to<const K&, std::string_view>) {
    return key;
  } else {
    buffer.clear();
    Codec<K>::Encode(key, buffer);
    return buffer;
  }
}

// What such a key looks like: state is found again only under one of the same schema.
template <class K>
Schema DescribeKey() {
  if constexpr (std::convertible_to<const K&, std::string_view>) {
    return Codec<std::string>::Describe();
  } else {
    return Codec<K>::Describe();
  }
}

}  // namespace weir
