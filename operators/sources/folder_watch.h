// FolderWatch: which files come to a folder, change in it and go.
//
// A look lists the folder on the I/O pool. A new file is told of once two looks in a row have found
// it with the same size and time of modification: before that somebody may still be writing it. So
// a file that is renamed into the folder is told of at the second look, one that is written there
// when its writer has been still for an interval. What is compressed is no different.
//
// Owned by a source and used on its task's thread. Looks of a large folder take time: there is one
// at an interval, and no more than a tenth of the time is spent on them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "operators/sources/input_files.h"

namespace weir {

class FolderWatch {
 public:
  // Which files count. Called on the I/O pool, also after the watch is gone.
  using Filter = std::function<bool(const InputFile&)>;

  // `wake` is called from another thread when a look has come back; Poll() is to follow.
  FolderWatch(Environment& env, std::string folder, Duration interval, Filter filter,
              std::function<void()> wake);

  // A file that was told of before, by an earlier watch. REQUIRES: before the first Poll().
  void Know(const InputFile& file);

  struct Change {
    enum Kind {
      kNew,
      kChanged,  // of a file that was told of: it has another size or time
      kGone,     // likewise; its name is new again if it comes back
    };
    Kind kind;
    InputFile file;
  };
  // Begins a look if it is time for one; appends what one that has come back has found, at most
  // limits::kWatchStepFiles files at a time. An error is the look's.
  Status Poll(int64_t now, std::vector<Change>& changes);
  // When Poll() is worth calling, by Clock::MonotonicMicros(), unless `wake` is called before.
  int64_t next_poll() const;

 private:
  struct Entry {
    uint64_t size = 0;
    Timestamp modified = 0;
    bool told = false;
  };
  using Entries = std::map<std::string, Entry>;
  struct Look;  // shared with the I/O pool

  void Begin(int64_t now);
  void Compare(std::vector<Change>& changes);

  Environment& env_;
  const std::string folder_;
  const Duration interval_;
  const Filter filter_;
  const std::function<void()> wake_;

  Entries entries_;
  std::shared_ptr<Look> look_;    // under way, or being compared
  std::vector<InputFile> found_;  // by it, once it has come back, by name
  bool comparing_ = false;
  size_t next_found_ = 0;  // both are walked side by side
  Entries::iterator next_entry_;
  int64_t polled_ = 0;
  int64_t begun_ = 0;
  int64_t next_look_ = 0;
};

}  // namespace weir
