#include "operators/transforms/isolated_caller.h"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>

#include "core/check.h"
#include "operators/plugin_host/futex.h"

namespace weir {
namespace {

using namespace plugin_host;

// So often the caller's thread looks around while it waits for a host.
constexpr Duration kLook = Milliseconds(20);

}  // namespace

IsolatedCaller::IsolatedCaller(std::shared_ptr<const IsolatedPlugin> plugin, Clock& clock,
                               std::function<void()> wake,
                               std::function<void(std::string_view)> log)
    : plugin_(std::move(plugin)),
      states_(static_cast<uint32_t>(plugin_->declaration().states.size())),
      clock_(clock),
      wake_(std::move(wake)),
      log_(std::move(log)) {
  for (uint32_t slot = 0; slot < kSlots; ++slot) free_slots_.push_back(slot);
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "weir-isolated");
}

IsolatedCaller::~IsolatedCaller() {
  stop_ = true;
  {
    std::lock_guard lock(mutex_);
    changed_.notify_all();
  }
  thread_.join();
}

void IsolatedCaller::Submit(std::unique_ptr<IsolatedCall> call) {
  WEIR_CHECK(HasRoom() && call->next < call->events.size());
  ++in_flight_;
  std::lock_guard lock(mutex_);
  call->slot = free_slots_.back();
  free_slots_.pop_back();
  calls_.push_back(std::move(call));
  if (running_) Push(*calls_.back(), false);
  changed_.notify_all();
}

std::unique_ptr<IsolatedCall> IsolatedCaller::Take() {
  std::lock_guard lock(mutex_);
  if (calls_.empty() || !calls_.front()->done) return nullptr;
  std::unique_ptr<IsolatedCall> call = std::move(calls_.front());
  calls_.pop_front();
  --in_flight_;
  return call;
}

Status IsolatedCaller::status() {
  std::lock_guard lock(mutex_);
  return status_;
}

IsolatedCaller::Counts IsolatedCaller::counts() {
  std::lock_guard lock(mutex_);
  return counts_;
}

void IsolatedCaller::Run() {
  const Status status = Main();
  keeper_.reset();  // by the thread that started it
  if (stop_) return;
  {
    std::lock_guard lock(mutex_);
    running_ = false;
    status_ = status;
  }
  wake_();
}

Status IsolatedCaller::Main() {
  WEIR_RETURN_IF_ERROR(EnsureHost());
  while (true) {
    {
      std::unique_lock lock(mutex_);
      if (stop_) return absl::OkStatus();
      if (!running_) {
        for (auto& call : calls_) {
          if (!call->done) Push(*call, false);
        }
        running_ = true;
      }
      changed_.wait(lock, [this] { return stop_ || !pushed_.empty(); });
      if (stop_) return absl::OkStatus();
    }
    const Trouble trouble = Watch();
    if (stop_) return absl::OkStatus();
    if (trouble != Trouble::kNone) WEIR_RETURN_IF_ERROR(Recover(trouble));
  }
}

// A new keeper, where there is none; a new host, where there is none. A plugin that could be set up
// before is tried several times.
Status IsolatedCaller::EnsureHost() {
  Status status;
  for (int i = 0; i < limits::kIsolatedKillsMax && !stop_; ++i) {
    if (keeper_ && keeper_->has_host()) return absl::OkStatus();
    if (i > 0) {
      failures_in_row_ += limits::kIsolatedFailuresInRowMax;
      BackOff();
    }
    if (!keeper_) {
      StatusOr<std::unique_ptr<PluginKeeper>> keeper = plugin_->StartKeeper();
      if (!keeper.ok()) {
        status = keeper.status();
        continue;
      }
      keeper_ = *std::move(keeper);
      std::lock_guard lock(mutex_);
      for (auto& call : calls_) call->sent_end = 0;  // other memory
    }
    status = plugin_->StartHost(*keeper_, &stop_);
    answered_ = 0;
    rows_read_ = 0;
    rows_begun_ = 0;
    fresh_ = true;
    if (status.ok()) {
      std::lock_guard lock(mutex_);
      ++counts_.hosts;
      return absl::OkStatus();
    }
    keeper_.reset();
  }
  // It could be set up when the job was built, so that another attempt may succeed.
  return stop_ ? absl::OkStatus() : absl::UnavailableError(status.message());
}

// Gives the host the events from call.next on: one, or as many as there are in the slot.
void IsolatedCaller::Push(IsolatedCall& call, bool alone) {
  if (call.next >= call.sent_end || states_ > 0) Encode(call);
  call.entry.id = ++last_entry_;
  call.entry.slot = call.slot;
  call.entry.first = call.next;
  call.entry.end = alone ? call.next + 1 : call.sent_end;
  call.entry.alone = alone;
  call.new_host = alone && std::exchange(fresh_, false);
  call.read = false;
  RequestHeader& requests = keeper_->requests();
  const uint32_t submitted = requests.submitted.load(std::memory_order_relaxed);
  requests.ring[submitted % kRingEntries] = call.entry;
  pushed_.push_back(&call);
  requests.submitted.store(submitted + 1, std::memory_order_release);
  FutexWake(requests.submitted);
}

// Puts the events from call.next on into the slot, as many as it takes, and the values that they
// may ask for.
void IsolatedCaller::Encode(IsolatedCall& call) {
  char* const slot = keeper_->request_slot(call.slot);
  const uint32_t base = call.next;
  uint32_t end = base;
  uint64_t used = 0;
  if (states_ > 0) ApplyWrites(call);
  std::vector<bool> asked(states_ > 0 ? call.values.size() / states_ : 0);  // by key
  for (; end < call.events.size(); ++end) {
    const Event& event = call.events[end];
    uint64_t bytes = sizeof(RequestEvent) + event.id.size() + event.tenant.size() +
                     event.type.size() + event.payload.size();
    if (states_ > 0 && !asked[call.key_of_event[end]]) bytes += ValueBytes(call, end);
    if (end > base && used + bytes > limits::kIsolatedRequestBytes) break;
    used += bytes;
    if (states_ > 0) asked[call.key_of_event[end]] = true;
  }
  auto* events = reinterpret_cast<RequestEvent*>(slot);
  uint64_t at = (end - base) * sizeof(RequestEvent);
  const auto put = [&](std::string_view bytes) {
    const Extent extent{at, bytes.size()};
    if (!bytes.empty()) std::memcpy(slot + at, bytes.data(), bytes.size());
    at += bytes.size();
    return extent;
  };
  for (uint32_t i = base; i < end; ++i) {
    const Event& event = call.events[i];
    RequestEvent& to = events[i - base];
    to.payload = put(event.payload);
    // A field that is a part of the line is not copied again.
    const auto field = [&](std::string_view bytes) {
      const bool inside =
          bytes.data() >= event.payload.data() &&
          bytes.data() + bytes.size() <= event.payload.data() + event.payload.size();
      if (!inside || bytes.empty()) return put(bytes);
      return Extent{to.payload.offset + (bytes.data() - event.payload.data()), bytes.size()};
    };
    to.id = field(event.id);
    to.tenant = field(event.tenant);
    to.type = field(event.type);
    to.time = event.time;
    to.priority = event.priority;
    to.key = states_ > 0 ? call.key_of_event[i] : 0;
  }
  call.entry.base = base;
  call.sent_end = end;
  if (states_ == 0) return;

  at = Padded(at);
  call.entry.values = at;
  call.entry.keys = static_cast<uint32_t>(call.values.size() / states_);
  auto* extents = reinterpret_cast<Extent*>(slot + at);
  at += call.values.size() * sizeof(Extent);
  for (size_t i = 0; i < call.values.size(); ++i) {
    extents[i] = asked[i / states_] && call.values[i] ? put(*call.values[i]) : kNoValue;
  }
  for (size_t i : call.unreadable) extents[i] = kUnreadable;
}

// Of the values that an event may ask for.
uint64_t IsolatedCaller::ValueBytes(const IsolatedCall& call, uint32_t row) const {
  const size_t first = size_t{call.key_of_event[row]} * states_;
  uint64_t bytes = 0;
  for (size_t i = first; i < first + states_; ++i) {
    if (call.values[i]) bytes += call.values[i]->size();
  }
  return bytes;
}

void IsolatedCaller::ApplyWrites(IsolatedCall& call) {
  call.log_applied =
      ForEachWrite(call.log, call.log_applied,
                   [&](uint32_t row, uint32_t state, std::optional<std::string_view> value) {
                     if (state >= states_) return;  // refused when it is replayed
                     auto& to = call.values[call.key_of_event[row] * states_ + state];
                     to = value ? std::optional<std::string>(*value) : std::nullopt;
                   });
}

// Waits until the host has answered all that it was given, or something is wrong with it.
IsolatedCaller::Trouble IsolatedCaller::Watch() {
  begun_micros_ = clock_.MonotonicMicros();
  while (!stop_) {
    const uint32_t seen = keeper_->answers().bell.load(std::memory_order_acquire);
    const Trouble trouble = TakeAnswers();
    if (trouble != Trouble::kNone) return trouble;
    {
      std::lock_guard lock(mutex_);
      if (pushed_.empty()) return Trouble::kNone;
    }
    StatusOr<std::optional<int>> ended = keeper_->PollEnd();
    if (!ended.ok()) ended = SIGKILL;  // what became of the host cannot be known
    if (*ended) {
      wait_status_ = **ended;
      // What it answered before counts.
      const Trouble last = TakeAnswers();
      return last == Trouble::kNone || last == Trouble::kMemory ? Trouble::kEnded : last;
    }
    const uint32_t begun = keeper_->answers().rows_begun.load(std::memory_order_relaxed);
    const int64_t now = clock_.MonotonicMicros();
    if (begun != rows_begun_) {
      rows_begun_ = begun;
      begun_micros_ = now;
    } else if (now - begun_micros_ > plugin_->options().timeout) {
      return Trouble::kHang;
    }
    keeper_->WaitForBell(seen, std::min<Duration>(kLook, plugin_->options().timeout));
  }
  return Trouble::kNone;
}

IsolatedCaller::Trouble IsolatedCaller::TakeAnswers() {
  const uint32_t answered = keeper_->answers().answered.load(std::memory_order_acquire);
  bool memory_is_short = false;
  for (; answered_ != answered; ++answered_) {
    IsolatedCall* call = nullptr;
    {
      std::lock_guard lock(mutex_);
      if (!pushed_.empty()) call = pushed_.front();
    }
    if (call == nullptr) return Trouble::kDamage;  // more than it was asked
    const Trouble trouble = ReadPart(*call, memory_is_short);
    if (trouble != Trouble::kNone) return trouble;
    begun_micros_ = clock_.MonotonicMicros();
    std::lock_guard lock(mutex_);
    pushed_.pop_front();
    if (!running_) continue;  // Recover() still looks at the call, and finishes it
    if (IsAnswered(*call)) {
      Finish(*call);
    } else {
      Push(*call, false);
    }
  }
  return memory_is_short ? Trouble::kMemory : Trouble::kNone;
}

// Reads what the host has recorded for the call's entry, once.
IsolatedCaller::Trouble IsolatedCaller::ReadPart(IsolatedCall& call, bool& memory_is_short) {
  const char* const slot = keeper_->answer_slot(call.slot);
  const bool alone = call.entry.alone != 0;
  const size_t log_before = call.log.size();
  // Where memory was short, it may be for what earlier events have taken.
  const AnswerPart part = ReadAnswer(slot, call.entry, call.new_host, call.log);
  call.read = true;
  if (alone && part.whole && IsDamaged(slot, call.entry)) {
    call.log.resize(log_before);
    return Trouble::kDamage;
  }
  if (part.next > call.next) failures_in_row_ = 0;
  rows_read_ += part.next - call.next;
  call.next = part.next;
  call.micros += part.micros;
  memory_is_short |= part.memory_is_short;
  if (part.whole) return Trouble::kNone;
  return part.failed_for_memory ? Trouble::kFailedForMemory : Trouble::kDamage;
}

// What a plugin has written is held here until it is replayed, so there must not be too much of it.
bool IsolatedCaller::IsAnswered(const IsolatedCall& call) const {
  return call.next == call.events.size() ||
         (states_ > 0 && call.log.size() >= limits::kIsolatedRequestBytes);
}

// Holds mutex_.
void IsolatedCaller::Finish(IsolatedCall& call) {
  call.done = true;
  free_slots_.push_back(call.slot);
  keeper_->TrimSlot(call.slot);
  if (&call == calls_.front().get()) wake_();
}

// Ends the host, finds out which event is a suspect, if one is, and clears that up.
Status IsolatedCaller::Recover(Trouble trouble) {
  std::deque<IsolatedCall*> open;
  {
    std::lock_guard lock(mutex_);
    running_ = false;
    open.swap(pushed_);
  }
  (void)keeper_->EndHost();  // where the keeper is gone, so is the host
  // What the host has recorded stands, whatever it did later.
  IsolatedCall* suspect = nullptr;
  for (IsolatedCall* call : open) {
    bool memory_is_short = false;
    if (!call->read) {
      const Trouble found = ReadPart(*call, memory_is_short);
      if (found == Trouble::kNone) continue;
      if (found == Trouble::kFailedForMemory) trouble = found;
    }
    suspect = call;
    break;
  }
  if (trouble == Trouble::kEnded || trouble == Trouble::kHang) {
    // A single event may have been begun and have no record.
    const uint32_t begun = keeper_->answers().rows_begun.load(std::memory_order_relaxed);
    if (begun - rows_read_ > 1) trouble = Trouble::kDamage;
  }
  Note(trouble, suspect);
  if (keeper_->gone()) keeper_.reset();
  // A host that had grown too large was ended at a moment that says nothing about any event.
  if (suspect != nullptr && trouble != Trouble::kMemory) {
    const uint32_t end = trouble == Trouble::kDamage ? suspect->entry.end : suspect->next + 1;
    WEIR_RETURN_IF_ERROR(RunAlone(*suspect, trouble));
    while (suspect->next < end && !stop_) {
      WEIR_RETURN_IF_ERROR(RunAlone(*suspect, Trouble::kNone));
    }
  }
  if (stop_) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(EnsureHost());
  if (stop_) return absl::OkStatus();  // there may be no keeper
  std::lock_guard lock(mutex_);
  for (auto& call : calls_) {
    if (!call->done && IsAnswered(*call)) Finish(*call);
  }
  return absl::OkStatus();
}

// Runs the next event of a call until it has an answer or has failed. `first` is what has happened
// at it already.
Status IsolatedCaller::RunAlone(IsolatedCall& call, Trouble first) {
  const uint32_t row = call.next;
  int tries = 0;
  int kills = 0;
  Trouble trouble = first;
  while (true) {
    if (trouble == Trouble::kHang || (trouble == Trouble::kEnded && EndedByItself(wait_status_))) {
      ++tries;
    } else if (trouble == Trouble::kEnded) {
      ++kills;
    }
    if (tries >= limits::kIsolatedTriesMax || kills >= limits::kIsolatedKillsMax) break;
    WEIR_RETURN_IF_ERROR(EnsureHost());
    if (stop_) return absl::OkStatus();
    {
      std::lock_guard lock(mutex_);
      Push(call, true);
    }
    trouble = Watch();
    if (stop_ || trouble == Trouble::kNone) return absl::OkStatus();
    {
      std::lock_guard lock(mutex_);
      pushed_.clear();
    }
    (void)keeper_->EndHost();
    bool memory_is_short = false;
    if (!call.read) (void)ReadPart(call, memory_is_short);  // it may have ended behind the event
    Note(trouble, &call);
    if (keeper_->gone()) keeper_.reset();
    if (call.next > row) return absl::OkStatus();  // answered, whatever came then
    if (trouble == Trouble::kDamage && call.new_host) break;
  }
  AppendFailure(row, Describe(trouble, row), call.log);
  call.next = row + 1;
  ++failures_in_row_;
  BackOff();
  return absl::OkStatus();
}

std::string IsolatedCaller::Describe(Trouble trouble, std::optional<uint32_t> row) const {
  const std::string at = row ? fmt::format(", at row {} of its batch", *row) : "";
  switch (trouble) {
    case Trouble::kEnded:
      return fmt::format("its process {}{}", DescribeWaitStatus(wait_status_), at);
    case Trouble::kHang:
      return fmt::format("it took longer than {}{}", FormatDuration(plugin_->options().timeout),
                         at);
    case Trouble::kMemory:
    case Trouble::kFailedForMemory:
      return fmt::format("its process came near the {} that it may allocate{}",
                         FormatSize(plugin_->options().memory), at);
    case Trouble::kDamage:
    case Trouble::kNone:
      break;
  }
  return fmt::format("it wrote over the memory that it shares with Weir{}", at);
}

// Counts and tells. Of troubles of one kind the first is told, then each time that there are twice
// as many.
void IsolatedCaller::Note(Trouble trouble, const IsolatedCall* suspect) {
  uint64_t count = 0;
  {
    std::lock_guard lock(mutex_);
    uint64_t& of_kind = trouble == Trouble::kEnded    ? counts_.crashes
                        : trouble == Trouble::kHang   ? counts_.hangs
                        : trouble == Trouble::kDamage ? counts_.damages
                                                      : counts_.memory_ends;
    count = ++of_kind;
  }
  if (!std::has_single_bit(count)) return;
  log_(fmt::format(
      "{}, isolated: {}{}", plugin_->label(),
      Describe(trouble, suspect == nullptr ? std::nullopt : std::optional(suspect->next)),
      count == 1 ? "" : fmt::format(" ({} times)", count)));
}

// After many events that failed with no good one between them, so that a plugin that can do nothing
// does not keep the machine busy with starting it.
void IsolatedCaller::BackOff() {
  if (failures_in_row_ <= limits::kIsolatedFailuresInRowMax) return;
  const int doublings = std::min(failures_in_row_ - limits::kIsolatedFailuresInRowMax, 20);
  const Duration pause =
      std::min(limits::kIsolatedBackoffMax, limits::kIsolatedBackoffMin << doublings);
  std::unique_lock lock(mutex_);
  counts_.backoff_micros += static_cast<uint64_t>(pause);
  changed_.wait_for(lock, std::chrono::microseconds(pause), [this] { return stop_.load(); });
}

}  // namespace weir
