// IsolatedCaller: calls an isolated plugin with batches of events, several at once, and brings back
// what it did to each of them, whatever becomes of the processes in which it runs.
//
// A thread of its own looks after a host (plugin_keeper.h). What a host has recorded of an event
// stands. When the host crashes, hangs or leaves rubbish, the first event without a record is a
// suspect, and no more than that: the memory may have been broken by an earlier one. The suspect
// runs alone in a new host. If it is well there, its answer counts; if it does the same again, it
// has failed, for that reason. The events behind it go on in a host that has not seen it. Where
// records turn out to be overwritten (also where the host has ended since and had begun more events
// than it left records of), it cannot be told by which event: all that follow in that request run
// alone, each with a look at whether something else was written.
//
// Submit(), Take() and the others are called by the task's thread; `wake` is called by the caller's
// thread when there is something to take, or something wrong.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "core/batch.h"
#include "core/environment.h"
#include "core/event.h"
#include "operators/transforms/isolated_plugin.h"
#include "operators/transforms/plugin_answer.h"

namespace weir {

// A batch on its way. While it is, it belongs to the caller.
struct IsolatedCall {
  std::span<const Event> events;
  BatchPtr batch;  // that holds them; may be null
  // The event behind those that are answered; before, the first to be called. Of a plugin with
  // states an answer may end early, where it has grown large: what is left is to be asked anew.
  uint32_t next = 0;

  // Of a plugin with states: for each event the number of its key, and the values by key and state.
  std::vector<uint32_t> key_of_event;
  std::vector<std::optional<std::string>> values;
  std::vector<size_t> unreadable;  // indexes of values that fail an event which asks for them

  std::string log;      // the answer, see AnswerReplay
  uint64_t micros = 0;  // that the plugin took

  // The caller's own.
  uint32_t slot = 0;
  plugin_host::RequestEntry entry;  // the last that was made of it
  uint32_t sent_end = 0;            // the events [entry.base, sent_end) are in the slot
  size_t log_applied = 0;           // what of the log is in `values`
  bool read = false;                // what the host has recorded for the entry was read
  bool new_host = false;            // the entry is of one event, the first that its host is given
  bool done = false;
};

class IsolatedCaller {
 public:
  struct Counts {
    uint64_t hosts = 0;           // that were started
    uint64_t crashes = 0;         // hosts that ended by themselves
    uint64_t hangs = 0;           // hosts that were ended because an event took too long
    uint64_t damages = 0;         // hosts that were ended because they left rubbish
    uint64_t memory_ends = 0;     // hosts that were ended because they had grown too large
    uint64_t backoff_micros = 0;  // for which nothing was done because too much had failed
  };

  IsolatedCaller(std::shared_ptr<const IsolatedPlugin> plugin, Clock& clock,
                 std::function<void()> wake, std::function<void(std::string_view)> log);
  ~IsolatedCaller();

  bool HasRoom() const { return in_flight_ < plugin_host::kSlots; }
  size_t in_flight() const { return in_flight_; }
  // REQUIRES: HasRoom(), and that it has events.
  void Submit(std::unique_ptr<IsolatedCall> call);
  // The oldest call, if it is answered; else null.
  std::unique_ptr<IsolatedCall> Take();
  // Why no call is answered any more.
  Status status();
  Counts counts();

 private:
  enum class Trouble { kNone, kEnded, kHang, kDamage, kMemory, kFailedForMemory };

  // Of the caller's thread, but for Push() and what it calls, which hold mutex_.
  void Run();
  Status Main();
  Status EnsureHost();
  void Push(IsolatedCall& call, bool alone);
  void Encode(IsolatedCall& call);
  uint64_t ValueBytes(const IsolatedCall& call, uint32_t row) const;
  void ApplyWrites(IsolatedCall& call);
  Trouble Watch();
  Trouble TakeAnswers();
  Trouble ReadPart(IsolatedCall& call, bool& memory_is_short);
  bool IsAnswered(const IsolatedCall& call) const;
  void Finish(IsolatedCall& call);
  Status Recover(Trouble trouble);
  Status RunAlone(IsolatedCall& call, Trouble first);
  std::string Describe(Trouble trouble, std::optional<uint32_t> row) const;
  void Note(Trouble trouble, const IsolatedCall* suspect);
  void BackOff();

  const std::shared_ptr<const IsolatedPlugin> plugin_;
  const uint32_t states_;
  Clock& clock_;
  const std::function<void()> wake_;
  const std::function<void(std::string_view)> log_;
  size_t in_flight_ = 0;  // used by the task's thread only

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<IsolatedCall>> calls_;  // guarded by mutex_
  std::vector<uint32_t> free_slots_;                 // guarded by mutex_
  bool running_ = false;  // guarded by mutex_: a call that is submitted goes to the host at once
  Status status_;         // guarded by mutex_
  Counts counts_;         // guarded by mutex_
  std::atomic<bool> stop_ = false;

  // Of the caller's thread; while running_, guarded by mutex_.
  std::unique_ptr<PluginKeeper> keeper_;
  std::deque<IsolatedCall*> pushed_;  // in the order in which the host takes them
  uint64_t last_entry_ = 0;
  // Of the caller's thread.
  uint32_t answered_ = 0;     // entries of this host that were taken
  bool fresh_ = false;        // the host has not processed anything yet
  uint32_t rows_read_ = 0;    // events of this host whose records were read
  uint32_t rows_begun_ = 0;   // as seen last, ...
  int64_t begun_micros_ = 0;  // ... and since when
  int wait_status_ = 0;       // of the host that ended last
  int failures_in_row_ = 0;
  std::thread thread_;
};

}  // namespace weir
