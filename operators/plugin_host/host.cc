#include "operators/plugin_host/host.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <vector>

#include "operators/plugin_host/futex.h"
#include "operators/plugin_host/host_setup.h"
#include "operators/plugin_host/host_values.h"
#include "operators/plugin_host/recorder.h"

namespace weir::plugin_host {
namespace {

bool allocation_failed = false;  // an operator new, while the event at hand was processed

uint64_t MonotonicMicros() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000;
}

class Host {
 public:
  Host(const Areas& areas, const WeirPluginTable& table, const ReadyPlugin& ready)
      : areas_(areas), table_(table), instance_(ready.instance), values_(ready.states) {}

  void Serve(const RequestEntry& entry);

 private:
  struct ProcessCall : WeirPluginCall {
    Host* host;
  };
  static const WeirPluginHost kFunctions;
  static Host& Of(WeirPluginCall* call) { return *static_cast<ProcessCall*>(call)->host; }

  static int32_t OnKeep(WeirPluginCall* call);
  static int32_t OnEmit(WeirPluginCall* call, const WeirPluginOutput* output);
  static int32_t OnFail(WeirPluginCall* call, WeirPluginBytes error);
  static int32_t OnGet(WeirPluginCall* call, uint32_t state, WeirPluginBytes* value,
                       uint32_t* found);
  static int32_t OnPut(WeirPluginCall* call, uint32_t state, WeirPluginBytes value);
  static int32_t OnRemove(WeirPluginCall* call, uint32_t state);
  static int32_t OnCount(WeirPluginCall* call, uint32_t counter, uint64_t n);

  int32_t Refused() {
    failed_ = true;
    return WEIR_PLUGIN_FAILED;
  }
  // Counts something that the event at hand did. False: it was too much; that one is recorded, so
  // that the reader sees why.
  bool CountEvent() { return ++events_ <= limits::kPluginRowEventsMax; }
  bool CountWrite(uint64_t bytes) {
    bytes_ += bytes;
    return ++writes_ <= limits::kIsolatedWritesMax && bytes_ <= limits::kPluginRowBytesMax;
  }
  char* ProcessEvent(uint64_t entry, uint32_t row, char* at, char* end);

  const Areas areas_;
  const WeirPluginTable& table_;
  void* const instance_;
  std::vector<WeirPluginEvent> events_of_request_;

  Recorder recorder_;
  HostValues values_;
  uint64_t events_ = 0;  // that came of the event at hand
  uint64_t writes_ = 0;  // likewise: into states and counters
  uint64_t bytes_ = 0;   // likewise
  bool failed_ = false;  // the event at hand has
};

const WeirPluginHost Host::kFunctions = {&Host::OnKeep, &Host::OnEmit, &Host::OnFail,
                                         &Host::OnGet,  &Host::OnPut,  &Host::OnRemove,
                                         &Host::OnCount};

int32_t Host::OnKeep(WeirPluginCall* call) {
  Host& host = Of(call);
  if (host.failed_) return WEIR_PLUGIN_FAILED;
  const bool counted = host.CountEvent();
  host.recorder_.Add(Op::kKeep);
  return counted ? WEIR_PLUGIN_OK : host.Refused();
}

int32_t Host::OnEmit(WeirPluginCall* call, const WeirPluginOutput* output) {
  Host& host = Of(call);
  if (host.failed_) return WEIR_PLUGIN_FAILED;
  if (output == nullptr) {
    host.recorder_.Add(Op::kEmit, 0, kNullOutput);
    return host.Refused();
  }
  Emission emission;
  emission.has = output->has;
  emission.output = static_cast<uint16_t>(std::min<uint32_t>(output->output, UINT16_MAX));
  emission.time = output->time;
  emission.priority = output->priority;
  bool omitted = !host.CountEvent();
  const WeirPluginBytes* const members[] = {&output->payload, &output->id, &output->tenant,
                                            &output->type};
  uint64_t* const sizes[] = {&emission.payload, &emission.id, &emission.tenant, &emission.type};
  const uint32_t bits[] = {WEIR_PLUGIN_HAS_PAYLOAD, WEIR_PLUGIN_HAS_ID, WEIR_PLUGIN_HAS_TENANT,
                           WEIR_PLUGIN_HAS_TYPE};
  uint64_t bytes = 0;
  for (int i = 0; i < 4; ++i) {
    if ((output->has & bits[i]) == 0) continue;
    *sizes[i] = members[i]->size;
    if (members[i]->data == nullptr) emission.null |= static_cast<uint16_t>(bits[i]);
    const uint64_t max = i == 0 ? limits::kLineBytesMax : limits::kPluginFieldBytesMax;
    omitted |= members[i]->size > max || (members[i]->data == nullptr && members[i]->size > 0);
    bytes += std::min<uint64_t>(members[i]->size, max + 1);
  }
  host.bytes_ += bytes;
  omitted |= host.bytes_ > limits::kPluginRowBytesMax;
  host.recorder_.Add(Op::kEmit, 0, omitted ? kBytesOmitted : 0);
  host.recorder_.Put(&emission, sizeof(emission));
  if (omitted) return host.Refused();
  for (int i = 0; i < 4; ++i) {
    if (*sizes[i] > 0) host.recorder_.Put(members[i]->data, *sizes[i]);
  }
  host.recorder_.Pad(bytes);
  return WEIR_PLUGIN_OK;
}

int32_t Host::OnFail(WeirPluginCall* call, WeirPluginBytes error) {
  Host& host = Of(call);
  if (host.failed_) return WEIR_PLUGIN_FAILED;
  host.recorder_.AddText(Op::kFail, error.data == nullptr
                                        ? std::string_view()
                                        : std::string_view(error.data, error.size));
  return host.Refused();
}

int32_t Host::OnGet(WeirPluginCall* call, uint32_t state, WeirPluginBytes* value, uint32_t* found) {
  Host& host = Of(call);
  if (host.failed_) return WEIR_PLUGIN_FAILED;
  const bool null = value == nullptr || found == nullptr;
  if (null || !host.values_.IsReadable(state)) {
    host.recorder_.Add(Op::kBadGet, state, null ? kBytesOmitted : 0);
    return host.Refused();
  }
  *found = host.values_.Get(state, *value);
  return WEIR_PLUGIN_OK;
}

int32_t Host::OnPut(WeirPluginCall* call, uint32_t state, WeirPluginBytes value) {
  Host& host = Of(call);
  if (host.failed_) return WEIR_PLUGIN_FAILED;
  const bool omitted = !host.values_.Has(state) || (value.data == nullptr && value.size > 0) ||
                       value.size > limits::kPluginStateValueBytesMax ||
                       !host.CountWrite(value.size);
  host.recorder_.Add(Op::kPut, state, omitted ? kBytesOmitted : 0);
  const uint64_t null = value.data == nullptr;
  host.recorder_.Put(&value.size, sizeof(value.size));
  host.recorder_.Put(&null, sizeof(null));
  if (omitted) return host.Refused();
  host.recorder_.Put(value.data, value.size);
  host.recorder_.Pad(value.size);
  host.values_.Put(state, {value.data, value.size});
  return WEIR_PLUGIN_OK;
}

int32_t Host::OnRemove(WeirPluginCall* call, uint32_t state) {
  Host& host = Of(call);
  if (host.failed_) return WEIR_PLUGIN_FAILED;
  const bool sound = host.values_.Has(state) && host.CountWrite(0);
  host.recorder_.Add(Op::kRemove, state, sound ? 0 : kBytesOmitted);
  if (!sound) return host.Refused();
  host.values_.Remove(state);
  return WEIR_PLUGIN_OK;
}

int32_t Host::OnCount(WeirPluginCall* call, uint32_t counter, uint64_t n) {
  Host& host = Of(call);
  if (host.failed_) return WEIR_PLUGIN_FAILED;
  const bool counted = host.CountWrite(0);
  host.recorder_.Add(Op::kCount, counter, counted ? 0 : kBytesOmitted);
  host.recorder_.Put(&n, sizeof(n));
  return counted ? WEIR_PLUGIN_OK : host.Refused();
}

char* Host::ProcessEvent(uint64_t entry, uint32_t row, char* at, char* end) {
  areas_.answer_header().rows_begun.fetch_add(1, std::memory_order_release);
  recorder_.Begin(at, end);
  events_ = writes_ = bytes_ = 0;
  allocation_failed = false;
  failed_ = false;
  values_.BeginRow(row);

  uint32_t published = row;
  ProcessCall call{};
  call.host = this;
  static_cast<WeirPluginCall&>(call).host = &kFunctions;
  call.events = events_of_request_.data();
  call.first = row;
  call.rows = row + 1;
  call.row = &published;
  Record record;
  record.entry = entry;
  record.kind = RecordKind::kEvent;
  record.row = row;
  record.code = WEIR_PLUGIN_FAILED;
  try {
    record.code = table_.process(instance_, &call);
  } catch (const std::exception& e) {
    record.flags |= kThrew;
    recorder_.AddText(Op::kText, e.what());
  } catch (...) {
    record.flags |= kThrew;
  }
  if (published != row && !failed_) {
    char text[128];
    std::snprintf(text, sizeof(text),
                  "broke the rules: it was called with row %u and published row %u", row,
                  published);
    recorder_.AddText(Op::kFail, text);
    failed_ = true;
  }
  const bool failed = failed_ || record.code != WEIR_PLUGIN_OK;
  values_.EndRow(!failed);
  if (failed && (allocation_failed ||
                 AllocatedBytes() > MemoryIsShortAt(areas_.request_header().memory_max))) {
    record.flags |= kMemoryIsShort;
  }
  return recorder_.Finish(record);
}

void Host::Serve(const RequestEntry& entry) {
  const uint64_t began = MonotonicMicros();
  const char* slot = areas_.request + SlotOffset(entry.slot);
  const auto* events = reinterpret_cast<const RequestEvent*>(slot);
  events_of_request_.resize(entry.end);
  for (uint32_t i = entry.first; i < entry.end; ++i) {
    const RequestEvent& event = events[i - entry.base];
    events_of_request_[i] = {ToBytes(slot, event.id),
                             ToBytes(slot, event.tenant),
                             ToBytes(slot, event.type),
                             ToBytes(slot, event.payload),
                             event.time,
                             event.priority};
  }
  char* const begin = areas_.answer + SlotOffset(entry.slot);
  values_.BeginRequest(slot, entry);
  // The last record, kEnd, has no calls.
  char* const end = begin + kSlotBytes - sizeof(Record);
  if (entry.alone != 0) {
    for (uint64_t i = 0; i < kCanaryBytes; i += sizeof(kCanary)) {
      std::memcpy(begin + i, &kCanary, sizeof(kCanary));
    }
  }
  char* at = begin;
  uint32_t row = entry.first;
  while (row < entry.end && at - begin < static_cast<ptrdiff_t>(limits::kPluginOutputBytes)) {
    at = ProcessEvent(entry.id, row++, at, end);
  }
  recorder_.Begin(at, end + sizeof(Record));
  Record record;
  record.entry = entry.id;
  record.kind = RecordKind::kEnd;
  record.row = row;
  record.micros = MonotonicMicros() - began;
  if (AllocatedBytes() > MemoryIsShortAt(areas_.request_header().memory_max)) {
    record.flags |= kMemoryIsShort;
  }
  recorder_.Finish(record);
}

}  // namespace

void Areas::Ring() const {
  answer_header().bell.fetch_add(1, std::memory_order_release);
  FutexWake(answer_header().bell);
}

int RunHost(const Areas& areas, const LoadedPlugin& plugin, uint32_t number, bool check_only) {
  const ReadyPlugin ready = SetUp(areas, plugin);
  areas.answer_header().ready.store(number, std::memory_order_release);
  areas.Ring();
  if (check_only) {
    if (ready.instance != nullptr) plugin.table->destroy(ready.instance);
    return 0;
  }
  const RequestHeader& requests = areas.request_header();
  AnswerHeader& answers = areas.answer_header();
  std::set_new_handler([] {
    allocation_failed = true;
    throw std::bad_alloc();
  });
  Host host(areas, *plugin.table, ready);
  for (uint32_t next = 0;; ++next) {
    while (requests.submitted.load(std::memory_order_acquire) == next) {
      FutexWait(requests.submitted, next, -1);
    }
    host.Serve(requests.ring[next % kRingEntries]);
    answers.answered.store(next + 1, std::memory_order_release);
    areas.Ring();
  }
}

}  // namespace weir::plugin_host
