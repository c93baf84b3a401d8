// The parts of the heap keyed store: ordered maps that shadow each other, by composed key
// (state_table.h), and the files that hold them. Internal to state/.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "core/key_group.h"
#include "state/state_table.h"

namespace weir::heap {

inline constexpr int kDeleted = -1;

struct Entry {
  std::string value;
  int schema = kDeleted;  // index of StateTable::State::schemas
};
using Map = absl::btree_map<std::string, Entry, std::less<>>;

// Walks several maps as one, in order: where they have the same key the first one's entry counts,
// and deleted entries are skipped.
class MergedScan {
 public:
  MergedScan(const std::vector<const Map*>& newest_first, std::string_view from);
  bool done() const { return current_ < 0; }
  std::string_view key() const { return cursors_[static_cast<size_t>(current_)].first->first; }
  const Entry& entry() const { return cursors_[static_cast<size_t>(current_)].first->second; }
  void Next();

 private:
  void Settle();  // on the smallest key that is not deleted
  void AdvancePast(std::string_view key);

  std::vector<std::pair<Map::const_iterator, Map::const_iterator>> cursors_;
  int current_ = -1;
};

// Encodes entries into files: each begins with the table of states and can be read by itself.
class FileEncoder {
 public:
  explicit FileEncoder(const StateTable& states);
  void Add(std::string_view composed, const Entry& entry);
  size_t bytes() const { return bytes_.size(); }
  bool empty() const { return bytes_.size() == header_.size(); }
  // The file so far; the next one begins.
  std::string Take();

 private:
  std::string bytes_;
  std::string header_;
};

// Applies a file to `base`, in which nothing shadows anything: deletions remove. Entries of other
// key groups are skipped; states are added to `states`. DataLoss says where the bytes are broken.
Status ApplyFile(std::string_view bytes, const KeyGroupRange& key_groups, StateTable& states,
                 Map& base);

}  // namespace weir::heap
