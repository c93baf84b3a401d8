// Address: "HOST:PORT", an IPv6 address in brackets: "[::1]:7070".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/status.h"

namespace weir {

struct Address {
  std::string host;   // a name or an IP address, without brackets
  uint16_t port = 0;  // 0 where one listens: any that is free

  std::string ToString() const;
  bool operator==(const Address&) const = default;
};

// InvalidArgument names the text and the form.
StatusOr<Address> ParseAddress(std::string_view text);

}  // namespace weir
