// KeysInState: of which keys something waits in the comparator's state. A record of such a key has
// to go there, where it meets those that came before it; any other may wait in memory.
//
// It knows so many keys. Once there have been more, it takes every key for one of them, to the end
// of the attempt: then all that waits is state.
//
// One per operator, one thread.
#pragma once

#include <cstddef>

#include "absl/container/flat_hash_set.h"
#include "core/hash.h"
#include "shadow/tapped_record.h"

namespace weir::shadow {

class KeysInState {
 public:
  explicit KeysInState(size_t most) : most_(most) {}
  KeysInState(const KeysInState&) = delete;
  KeysInState& operator=(const KeysInState&) = delete;

  bool MayHave(const Fingerprint& meeting) const { return all_ || keys_.contains(meeting); }
  bool has_all() const { return all_; }
  void Add(const Fingerprint& meeting) {
    if (all_) return;
    keys_.insert(meeting);
    if (keys_.size() <= most_) return;
    all_ = true;
    keys_ = {};
  }
  void Remove(const Fingerprint& meeting) { keys_.erase(meeting); }

 private:
  const size_t most_;
  bool all_ = false;
  absl::flat_hash_set<Fingerprint, FingerprintHash> keys_;
};

}  // namespace weir::shadow
