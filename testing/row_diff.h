// What two lists of rows have apart, for people: missing, extra and changed rows, changed ones
// field by field. Rows are compared as the JSON documents that their codec writes.
//
//   rows differ: 2 expected, 2 found, 1 the same
//     changed  [1] {"customer":"ada","total":12.0}
//                  total: expected 10.0, found 12.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/row_codec.h"

namespace weir::testing {

enum class RowOrder {
  kAny,         // as a multiset
  kSame,        // one after the other
  kSamePerKey,  // rows of one key one after the other, keys in any order
};

struct RowComparison {
  RowOrder order = RowOrder::kAny;
  std::string key;    // of kSamePerKey: the member that is the key, dotted where it is nested
  size_t shown = 10;  // rows of each kind that are shown; the rest is counted
};

// Rows as JSON documents. Empty: they are the same.
std::string RowDifference(const std::vector<std::string>& expected,
                          const std::vector<std::string>& actual,
                          const RowComparison& comparison = {});

// Every row of a batch as its codec writes it.
void AppendJson(const RowCodec& codec, const BatchBase& batch, std::vector<std::string>& rows);

template <class T>
std::vector<std::string> ToJson(const std::vector<T>& rows) {
  std::vector<std::string> documents;
  JsonWriter writer;
  for (const T& row : rows) {
    writer.Clear();
    Codec<T>::WriteJson(row, writer);
    documents.emplace_back(writer.text());
  }
  return documents;
}

}  // namespace weir::testing
