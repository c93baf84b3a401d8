#include "operators/transforms/plugin_answer.h"

#include <fmt/format.h>

#include "core/check.h"
#include "core/limits.h"
#include "operators/plugin_host/checksum.h"
#include "operators/transforms/plugin_log.h"

namespace weir {
namespace internal {

bool CopyPluginRecord(const char* from, uint64_t room, uint64_t entry, std::string& log,
                      plugin_host::Record& record) {
  // What the calls of one record may take at most: bytes, and a header for each call.
  constexpr uint64_t kCallBytesMax =
      limits::kPluginRowBytesMax +
      (limits::kPluginRowEventsMax + limits::kIsolatedWritesMax + 2) *
          (sizeof(plugin_host::Call) + sizeof(plugin_host::Emission) + 8) +
      (1 << 20);
  if (room < sizeof(record)) return false;
  record = LoadPluginRecord(from);
  if (record.entry != entry || record.call_bytes > room - sizeof(record) ||
      record.call_bytes > kCallBytesMax) {
    return false;
  }
  const size_t before = log.size();
  log.append(reinterpret_cast<const char*>(&record), sizeof(record));
  log.append(from + sizeof(record), record.call_bytes);
  const char* calls = log.data() + before + sizeof(record);
  if (record.checksum == plugin_host::ChecksumOf(record, calls)) return true;
  log.resize(before);
  return false;
}

}  // namespace internal

namespace {

using namespace plugin_host;
using internal::PluginCalls;

struct EmittedBytes {
  std::string_view payload, id, tenant, type;
};

EmittedBytes TakeEmitted(PluginCalls& calls, const Call& call, const Emission& e) {
  EmittedBytes bytes;
  if ((call.flags & kBytesOmitted) != 0) return bytes;
  bytes.payload = calls.TakeBytes(e.payload);
  bytes.id = calls.TakeBytes(e.id);
  bytes.tenant = calls.TakeBytes(e.tenant);
  bytes.type = calls.TakeBytes(e.type);
  calls.SkipPadding(e.payload + e.id + e.tenant + e.type);
  return bytes;
}

struct PutValue {
  uint64_t size = 0;
  uint64_t null = 0;
  std::string_view bytes;
};

PutValue TakePut(PluginCalls& calls, const Call& call) {
  PutValue value;
  value.size = calls.Take<uint64_t>();
  value.null = calls.Take<uint64_t>();
  if ((call.flags & kBytesOmitted) == 0) {
    value.bytes = calls.TakeBytes(value.size);
    calls.SkipPadding(value.size);
  }
  return value;
}

// Why an emission has no bytes.
std::string WhyOmitted(const Emission& e) {
  struct Member {
    uint32_t bit;
    uint64_t bytes;
    uint64_t bytes_max;
    std::string_view name;
  };
  const Member members[] = {
      {WEIR_PLUGIN_HAS_PAYLOAD, e.payload, limits::kLineBytesMax, "a line"},
      {WEIR_PLUGIN_HAS_ID, e.id, limits::kPluginFieldBytesMax, "an id"},
      {WEIR_PLUGIN_HAS_TENANT, e.tenant, limits::kPluginFieldBytesMax, "a tenant"},
      {WEIR_PLUGIN_HAS_TYPE, e.type, limits::kPluginFieldBytesMax, "a type"}};
  for (const Member& member : members) {
    if ((e.null & member.bit) != 0 && member.bytes > 0) {
      return fmt::format("emitted {} at a null pointer", member.name);
    }
    if (member.bytes > member.bytes_max) {
      return fmt::format("emitted {} of {} bytes, at most {} are allowed", member.name,
                         member.bytes, member.bytes_max);
    }
  }
  return fmt::format("emitted more than {} bytes for one event", limits::kPluginRowBytesMax);
}

// Walks the calls of an event's record; visit(call, calls) takes what belongs to each.
template <class Visit>
void ForEachCall(const Record& record, PluginCalls& calls, Visit visit) {
  for (uint32_t i = 0; i < record.calls && !calls.broken(); ++i) visit(calls.Take<Call>(), calls);
}

// Takes what belongs to a call and forgets it. False: there is no such call in an event's record.
bool PassOver(const Call& call, PluginCalls& calls) {
  switch (call.op) {
    case Op::kKeep:
    case Op::kRemove:
    case Op::kBadGet:
      return true;
    case Op::kEmit:
      if ((call.flags & kNullOutput) == 0) {
        const Emission emission = calls.Take<Emission>();
        for (uint64_t size : {emission.payload, emission.id, emission.tenant, emission.type}) {
          if ((call.flags & kBytesOmitted) == 0 && size > limits::kLineBytesMax) return false;
        }
        TakeEmitted(calls, call, emission);
      }
      return true;
    case Op::kPut:
      TakePut(calls, call);
      return true;
    case Op::kCount:
      calls.Take<uint64_t>();
      return true;
    case Op::kFail:
    case Op::kText:
      calls.TakeText(call.argument);
      return true;
    default:
      return false;
  }
}

// Whether the calls of an event's record can be replayed.
bool AreSound(const Record& record, std::string_view bytes) {
  PluginCalls calls(bytes);
  bool sound = true;
  ForEachCall(record, calls,
              [&](const Call& call, PluginCalls& rest) { sound = sound && PassOver(call, rest); });
  return sound && !calls.broken() && calls.empty();
}

// Whether the host has found that the event fails.
bool HasFailed(const Record& record, std::string_view bytes) {
  if (record.code != WEIR_PLUGIN_OK) return true;
  bool failed = false;
  PluginCalls calls(bytes);
  ForEachCall(record, calls, [&](const Call& call, PluginCalls& rest) {
    failed |= call.op == Op::kFail || call.op == Op::kBadGet || call.flags != 0;
    PassOver(call, rest);
  });
  return failed;
}

void ReplayEmit(const Call& call, PluginCalls& calls, PluginRows& rows) {
  if ((call.flags & kNullOutput) != 0) {
    rows.Fail("emitted an event at a null pointer");
    return;
  }
  const Emission emission = calls.Take<Emission>();
  const EmittedBytes bytes = TakeEmitted(calls, call, emission);
  WeirPluginOutput output{};
  output.output = emission.output;
  if ((call.flags & kBytesOmitted) != 0) {
    // It may be one event too many, which the rows know.
    if (rows.Emit(output)) rows.Fail(WhyOmitted(emission));
    return;
  }
  output.has = emission.has;
  output.time = emission.time;
  output.priority = emission.priority;
  output.payload = ToTableBytes(bytes.payload);
  output.id = ToTableBytes(bytes.id);
  output.tenant = ToTableBytes(bytes.tenant);
  output.type = ToTableBytes(bytes.type);
  rows.Emit(output);
}

void ReplayState(const Call& call, PluginCalls& calls, PluginRows& rows) {
  const bool refused = (call.flags & kBytesOmitted) != 0;
  const auto fail_too_many = [&rows] {
    rows.Fail(fmt::format(
        "wrote more than {} values or {} bytes into its states and counters for one event",
        limits::kIsolatedWritesMax, limits::kPluginRowBytesMax));
  };
  if (call.op == Op::kBadGet) {
    std::optional<std::string_view> value;
    if (refused) rows.Fail("read a state to a null pointer");
    if (rows.Get(call.argument, value)) rows.Fail("read a state that its process did not have");
  } else if (call.op == Op::kRemove) {
    if (rows.Remove(call.argument) && refused) fail_too_many();
  } else if (call.op == Op::kCount) {
    if (rows.Count(call.argument, calls.Take<uint64_t>()) && refused) fail_too_many();
  } else {
    const PutValue value = TakePut(calls, call);
    if (!refused) {
      rows.Put(call.argument, ToTableBytes(value.bytes));
    } else if (value.null != 0 || value.size > limits::kPluginStateValueBytesMax) {
      // Refused for its size, or for where it is, before its bytes are looked at.
      rows.Put(call.argument, {value.null != 0 ? nullptr : "", value.size});
    } else if (rows.Put(call.argument, {"\0\0\0\0\0\0\0", std::min<uint64_t>(value.size, 8)})) {
      fail_too_many();
    }
  }
}

}  // namespace

AnswerPart ReadAnswer(const char* slot, const RequestEntry& entry, bool take_failures,
                      std::string& log) {
  AnswerPart part;
  part.next = entry.first;
  uint64_t at = 0;
  while (true) {
    Record record;
    const size_t before = log.size();
    if (!internal::CopyPluginRecord(slot + at, kSlotBytes - at, entry.id, log, record)) return part;
    const std::string_view calls(log.data() + before + sizeof(record), record.call_bytes);
    at += sizeof(record) + record.call_bytes;
    if (record.kind == RecordKind::kEnd && record.row == part.next && record.calls == 0) {
      log.resize(before);
      part.whole = true;
      part.memory_is_short = (record.flags & kMemoryIsShort) != 0;
      part.micros = record.micros;
      return part;
    }
    if (record.kind != RecordKind::kEvent || record.row != part.next || part.next == entry.end ||
        !AreSound(record, calls)) {
      log.resize(before);
      return part;
    }
    if (!take_failures && (record.flags & kMemoryIsShort) != 0) {
      // The host sets it for events that failed only.
      log.resize(before);
      part.failed_for_memory = true;
      return part;
    }
    ++part.next;
  }
}

bool IsDamaged(const char* slot, const RequestEntry& entry) {
  uint64_t at = 0;
  std::string log;
  for (Record record; internal::CopyPluginRecord(slot + at, kSlotBytes - at, entry.id, log, record);
       log.clear()) {
    at += sizeof(record) + record.call_bytes;
    if (record.kind == RecordKind::kEnd) break;
  }
  for (; at < kCanaryBytes; at += sizeof(kCanary)) {
    uint64_t found;
    std::memcpy(&found, slot + at, sizeof(found));
    if (found != kCanary) return true;
  }
  return false;
}

void AppendFailure(uint32_t row, std::string_view why, std::string& log) {
  why = why.substr(0, limits::kPluginErrorBytesMax);
  Record record;
  record.kind = RecordKind::kEvent;
  record.row = row;
  record.calls = 1;
  record.call_bytes = sizeof(Call) + Padded(why.size());
  const Call call{Op::kFail, 0, static_cast<uint32_t>(why.size())};
  log.append(reinterpret_cast<const char*>(&record), sizeof(record));
  log.append(reinterpret_cast<const char*>(&call), sizeof(call));
  log.append(why);
  log.append(Padded(why.size()) - why.size(), '\0');
}

size_t ForEachWrite(
    const std::string& log, size_t offset,
    const std::function<void(uint32_t, uint32_t, std::optional<std::string_view>)>& write) {
  while (offset < log.size()) {
    const Record record = internal::LoadPluginRecord(log.data() + offset);
    const std::string_view bytes(log.data() + offset + sizeof(record), record.call_bytes);
    offset += sizeof(record) + record.call_bytes;
    if (HasFailed(record, bytes)) continue;
    PluginCalls calls(bytes);
    ForEachCall(record, calls, [&](const Call& call, PluginCalls& rest) {
      if (call.op == Op::kPut) {
        write(record.row, call.argument, TakePut(rest, call).bytes);
      } else {
        if (call.op == Op::kRemove) write(record.row, call.argument, std::nullopt);
        PassOver(call, rest);
      }
    });
  }
  return offset;
}

void AnswerReplay::Start(std::string log) {
  log_ = std::move(log);
  next_ = 0;
}

bool AnswerReplay::ReplayRow(PluginRows& rows, Output& out) {
  WEIR_CHECK(log_.size() - next_ >= sizeof(Record));
  const Record record = internal::LoadPluginRecord(log_.data() + next_);
  const std::string_view bytes(log_.data() + next_ + sizeof(record), record.call_bytes);
  next_ += sizeof(record) + record.call_bytes;
  rows.BeginRow(record.row);
  PluginCalls calls(bytes);
  std::string thrown = "let an exception out that is no std::exception";
  // Such a record is here only of an event that had a new host for itself.
  const char* const hint = (record.flags & kMemoryIsShort) != 0
                               ? " (its process has come near what it may allocate)"
                               : "";
  bool wrote = false;
  ForEachCall(record, calls, [&](const Call& call, PluginCalls& rest) {
    switch (call.op) {
      case Op::kKeep:
        rows.Emit(WeirPluginOutput{});
        break;
      case Op::kEmit:
        ReplayEmit(call, rest, rows);
        break;
      case Op::kFail:
        rows.Fail(fmt::format("{}{}", rest.TakeText(call.argument), hint));
        break;
      case Op::kText:
        thrown = fmt::format("let an exception out: {}", rest.TakeText(call.argument));
        break;
      default:
        ReplayState(call, rest, rows);
        wrote |= call.op == Op::kPut || call.op == Op::kRemove;
    }
  });
  if ((record.flags & kThrew) != 0) {
    rows.Fail(thrown);
  } else if (record.code != WEIR_PLUGIN_OK) {
    rows.Fail(record.code == WEIR_PLUGIN_FAILED
                  ? "failed, and does not say why"
                  : fmt::format("returned the unknown code {}", record.code));
  }
  const bool diverged = wrote && rows.failed() && !HasFailed(record, bytes);
  rows.SettleRow(out);
  return !diverged;
}

}  // namespace weir
