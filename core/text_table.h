// TextTable: rows of texts in aligned columns, for people.
#pragma once

#include <string>
#include <vector>

namespace weir {

class TextTable {
 public:
  // A heading that begins with '>' is of a column that stands to the right: numbers.
  explicit TextTable(std::vector<std::string> headings);
  // REQUIRES: as many cells as headings.
  void Add(std::vector<std::string> cells);
  std::string ToString() const;

 private:
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace weir
