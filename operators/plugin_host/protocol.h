// What Weir and the process of an isolated plugin say to each other, over two pieces of shared
// memory and a socket. Both sides are of one build; the version is there to notice when they are
// not.
//
//   weir ---- spawns ----> keeper -------- forks ------> host
//
// The keeper (main.cc) loads the plugin once and never calls it; hosts are copies of it, in which
// the plugin runs (host.cc). So a new host costs a fork, and not the loading of libraries. The
// keeper starts and ends hosts as it is told over the socket, tells of their ends, cleans up what
// they leave behind, and passes on what they print. When Weir is gone it ends its host and itself.
//
// The request area is written by Weir alone; in keeper and host it cannot be made writable. The
// answer area is written by the host, and by whatever goes wrong in it: whoever reads it believes
// nothing that no checksum vouches for (transforms/plugin_answer.h).
//
//   request area                            answer area
//     RequestHeader                           AnswerHeader
//     settings                                the record of the set-up
//     slot 0: events of a request             slot 0: its records
//     ...                                     ...
//
// A request goes into the ring: the events [first, end) of a slot. For each the host writes a
// record of what the plugin called, when it has returned; behind the last one, a record kEnd. So an
// event is done exactly if its record is there, and whatever happens later cannot undo that.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/limits.h"

namespace weir::plugin_host {

inline constexpr uint32_t kProtocol = 1;

// The keeper's descriptors.
inline constexpr int kControlFd = 3;
inline constexpr int kRequestFd = 4;
inline constexpr int kAnswerFd = 5;
inline constexpr int kPluginFd = 6;
inline constexpr char kPluginFile[] = "/proc/self/fd/6";
static_assert(kPluginFd == 6);

inline constexpr uint32_t kSlots = 4;
inline constexpr uint32_t kRingEntries = 16;
inline constexpr uint64_t kHeaderBytes = 4096;
inline constexpr uint64_t kSetupBytes = limits::kIsolatedSettingsBytesMax;
inline constexpr uint64_t kSlotBytes = 2 * limits::kIsolatedEventBytesMax;
inline constexpr uint64_t kSlotsOffset = kHeaderBytes + kSetupBytes;
inline constexpr uint64_t kAreaBytes = kSlotsOffset + kSlots * kSlotBytes;
constexpr uint64_t SlotOffset(uint32_t slot) { return kSlotsOffset + slot * kSlotBytes; }

static_assert(std::atomic<uint32_t>::is_always_lock_free);

// --- requests ---

// Bytes at an offset in their slot, or among the settings.
struct Extent {
  uint64_t offset = 0;
  uint64_t size = 0;
  bool operator==(const Extent&) const = default;
};

// A slot begins with these, one for each event of a part of a batch.
struct RequestEvent {
  Extent id, tenant, type, payload;
  int64_t time = 0;
  int64_t priority = 0;
  uint64_t key = 0;  // number of its key among those of the slot; of a plugin with states
};

struct RequestEntry {
  uint64_t id = 0;  // never used twice
  uint32_t slot = 0;
  uint32_t base = 0;  // the event that the slot begins with
  uint32_t first = 0;
  uint32_t end = 0;
  uint32_t alone = 0;   // not 0: a single event, around which damage is looked for
  uint32_t keys = 0;    // in the slot; 0: the plugin has no state
  uint64_t values = 0;  // offset in the slot: Extents, by key and state
};
inline constexpr Extent kNoValue = {~uint64_t{0}, 0};
inline constexpr Extent kUnreadable = {~uint64_t{0}, 1};  // an event that asks for it fails

struct RequestHeader {
  uint32_t protocol = kProtocol;
  int32_t weir_pid = 0;
  std::atomic<uint32_t> submitted{0};  // entries since the host was started; a futex
  uint32_t setting_count = 0;          // pairs of Extents, key and value, at kHeaderBytes
  uint64_t memory_max = 0;             // bytes that a host may allocate
  RequestEntry ring[kRingEntries];
};
static_assert(sizeof(RequestHeader) <= kHeaderBytes);

// --- answers ---

struct AnswerHeader {
  std::atomic<uint32_t> bell{0};        // a futex: raised whenever there is something to see
  std::atomic<uint32_t> answered{0};    // entries since the host was started
  std::atomic<uint32_t> ready{0};       // the host whose record of the set-up is there
  std::atomic<uint32_t> rows_begun{0};  // raised with each event
};
static_assert(sizeof(AnswerHeader) <= kHeaderBytes);

enum class RecordKind : uint16_t { kEvent = 1, kEnd, kSetup };

// Flags of a record.
inline constexpr uint16_t kThrew = 1;          // an exception crossed the table; its text is kText
inline constexpr uint16_t kMemoryIsShort = 2;  // near the limit: a failure may be due to that
inline constexpr uint16_t kNoInstance = 4;     // of the set-up: create() has made none

struct Record {
  uint64_t checksum = 0;  // of what follows, the calls included
  uint64_t entry = 0;     // RequestEntry::id
  RecordKind kind{};
  uint16_t flags = 0;
  uint32_t row = 0;  // kEnd: the one behind the last
  int32_t code = 0;  // what process() or create() returned
  uint32_t calls = 0;
  uint64_t call_bytes = 0;  // of the calls, which follow
  uint64_t micros = 0;      // kEnd: that the request took
};

// What the plugin called. A call begins with a Call and takes a multiple of 8 bytes.
enum class Op : uint16_t {
  kKeep = 1,
  kEmit,    // Emission, then its bytes
  kFail,    // argument: size of the text, which follows
  kText,    // likewise: of an exception, or what the loader said
  kPut,     // argument: the state; a uint64_t, the size of the value, and the value
  kRemove,  // argument: the state
  kBadGet,  // argument: the state; a get that the host refused
  kCount,   // argument: the counter; a uint64_t
  // Of the record of the set-up:
  kTable,      // TableFacts, then name and version
  kReject,     // a text: of a setting
  kKeyBy,      // argument: the member
  kState,      // argument: size of the name; StateFacts, the name
  kNullState,  // a state at a null pointer
  kOutput,     // a text: the name
  kCounter,    // likewise
};

struct Call {
  Op op{};
  uint16_t flags = 0;
  uint32_t argument = 0;
};

// Flags of Op::kEmit and Op::kPut: bytes that are not handed over, because they are at a null
// pointer or beyond a limit; the sizes are there.
inline constexpr uint16_t kBytesOmitted = 1;
inline constexpr uint16_t kNullOutput = 2;  // there is no Emission

struct Emission {
  uint32_t has = 0;
  uint16_t output = 0;
  uint16_t null = 0;  // the bits of those that are at a null pointer
  uint64_t payload = 0, id = 0, tenant = 0, type = 0;  // sizes; the bytes follow in this order
  int64_t time = 0, priority = 0;
};

struct StateFacts {
  uint32_t type = 0;
  uint32_t reserved = 0;
  int64_t ttl_micros = 0;
};

struct TableFacts {
  uint32_t abi = 0;
  uint32_t sizes[7] = {};  // as in WeirPluginTable; not read where the ABI is another
  uint32_t functions = 0;  // not 0: all are there
  uint32_t threads = 0;    // of the process, when it was loaded
  uint32_t name_bytes = 0;
  uint32_t version_bytes = 0;
  uint32_t has_name = 0;
};

constexpr uint64_t Padded(uint64_t bytes) { return (bytes + 7) & ~uint64_t{7}; }

// What a single event's slot is filled with behind its record, as far as it is looked at.
inline constexpr uint64_t kCanary = 0x5745495243414e41;
inline constexpr uint64_t kCanaryBytes = 16 << 10;

// --- the socket ---

enum class CommandKind : uint32_t {
  kLoad = 1,  // load the plugin in the keeper: it was seen not to start threads
  kStart,     // a host; `submitted` must be 0
  kCheck,     // a host that ends when the set-up is done
  kEnd,       // the host, if there is one
};
struct Command {
  CommandKind kind{};
  uint32_t host = 0;  // a number that is never used twice
};

struct Report {
  uint32_t host = 0;
  int32_t wait_status = 0;  // as waitpid() gave it
};

}  // namespace weir::plugin_host
