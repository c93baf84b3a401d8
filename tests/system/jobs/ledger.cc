// A ledger with state of every kind, in several versions (LEDGER_VERSION): what a job looks like
// before and after its rows and its state have changed.
//
//   1   as it was first
//   2   reads what 1 wrote: fields were renamed, added, removed, made optional; a state is no more
//   3   does not: types of fields and of keys, kinds of state and the window of dedup are others
//   4   like 1, without its dedup and with another name for its sink
//
// {"id":1,"time":"...","account":"a","amount":5,"note":"x"} in. For each entry one line out, and by
// a timer behind the end of the input one line for each account.
#include <map>

#include "jobs/job.h"

#ifndef LEDGER_VERSION
#error "define LEDGER_VERSION"
#endif

namespace {

struct Entry {
  int64_t id = 0;
  std::string_view time;
  std::string_view account;
  int64_t amount = 0;
  std::string_view note;
  BOOST_DESCRIBE_CLASS(Entry, (), (id, time, account, amount, note), (), ())
};

#if LEDGER_VERSION == 2
struct Line {
  std::string_view account;
  std::string_view remark;
  int64_t id = 0;
  int64_t amount = 0;
  int64_t weight = 1;
  BOOST_DESCRIBE_CLASS(Line, (), (account, remark, id, amount, weight), (), ())
};
WEIR_RENAMED(Line, remark, "note")

struct Totals {
  std::string origin = "restored";
  int64_t entries = 0;
  std::optional<int64_t> amount;
  BOOST_DESCRIBE_CLASS(Totals, (), (origin, entries, amount), (), ())
};
WEIR_RENAMED(Totals, entries, "count")

#else
struct Line {
  int64_t id = 0;
  std::string_view account;
#if LEDGER_VERSION == 3
  double amount = 0;
#else
  int64_t amount = 0;
#endif
  std::string_view note;
  BOOST_DESCRIBE_CLASS(Line, (), (id, account, amount, note), (), ())
};

struct Totals {
  int64_t count = 0;
#if LEDGER_VERSION == 3
  std::string amount;
#else
  int64_t amount = 0;
#endif
  std::string memo;
  BOOST_DESCRIBE_CLASS(Totals, (), (count, amount, memo), (), ())
};
#endif

template <class L>
auto& NoteOf(L& line) {
#if LEDGER_VERSION == 2
  return line.remark;
#else
  return line.note;
#endif
}

struct Booked {
  std::string_view account;
  std::optional<int64_t> id;       // of an entry
  std::optional<int64_t> entries;  // of an account, and what follows
  int64_t amount = 0;
  std::map<std::string, int64_t> notes;
  std::vector<int64_t> ids;
  std::string origin;
  BOOST_DESCRIBE_CLASS(Booked, (), (account, id, entries, amount, notes, ids, origin), (), ())
};

class Book {
 public:
  weir::Status Open(weir::KeyedStore& store) {
    WEIR_ASSIGN_OR_RETURN(totals_, weir::ValueState<Totals>::Register(store, "totals"));
    WEIR_ASSIGN_OR_RETURN(ids_, weir::ListState<int64_t>::Register(store, "ids", {.ttl = kLong}));
#if LEDGER_VERSION == 3
    WEIR_ASSIGN_OR_RETURN(notes_, weir::ValueState<int64_t>::Register(store, "notes"));
#else
    WEIR_ASSIGN_OR_RETURN(notes_, (weir::MapState<std::string, int64_t>::Register(store, "notes")));
#endif
#if LEDGER_VERSION == 2
    return weir::ValueState<bool>::Register(store, "flagged").status();
#else
    WEIR_ASSIGN_OR_RETURN(last_, weir::ValueState<int64_t>::Register(store, "last"));
    return absl::OkStatus();
#endif
  }

  weir::Status Process(const Line& line, weir::ProcessContext<Booked>& context) {
    const weir::StateKey& key = context.key();
    WEIR_ASSIGN_OR_RETURN(std::optional<Totals> stored, totals_.Get(key));
    Totals totals = stored.value_or(Fresh());
    Add(line, totals);
    WEIR_RETURN_IF_ERROR(totals_.Set(key, totals));
    WEIR_RETURN_IF_ERROR(ids_.Add(key, line.id));
    WEIR_RETURN_IF_ERROR(Note(key, line));
#if LEDGER_VERSION != 2
    WEIR_RETURN_IF_ERROR(last_.Set(key, line.id));
#endif
    context.Emit({.account = line.account, .id = line.id});
    return context.SetTimer(weir::TimerKind::kEventTime, weir::kMaxTimestamp);
  }

  weir::Status OnTimer(weir::TimerKind, weir::Timestamp, weir::ProcessContext<Booked>& context) {
    const weir::StateKey& key = context.key();
    WEIR_ASSIGN_OR_RETURN(std::optional<Totals> totals, totals_.Get(key));
    if (!totals) return absl::InternalError("a timer without its account's totals");
    Booked booked;
    booked.account = context.Keep(key.bytes);
#if LEDGER_VERSION == 2
    booked.entries = totals->entries;
    booked.amount = totals->amount.value_or(-1);
    booked.origin = totals->origin;
#elif LEDGER_VERSION != 3
    booked.entries = totals->count;
    booked.amount = totals->amount;
    booked.origin = totals->memo;
#endif
#if LEDGER_VERSION != 3
    WEIR_RETURN_IF_ERROR(notes_.ForEach(key, [&](std::string note, int64_t count) {
      booked.notes.emplace(std::move(note), count);
      return true;
    }));
#endif
    WEIR_ASSIGN_OR_RETURN(booked.ids, ids_.Get(key));
    context.Emit(std::move(booked));
    return absl::OkStatus();
  }

 private:
  static constexpr weir::Duration kLong = weir::Hours(24 * 365 * 1000);  // never in a test

  static Totals Fresh() {
    Totals totals;
#if LEDGER_VERSION == 2
    totals.origin = "new";
    totals.amount = 0;
#endif
    return totals;
  }
  static void Add(const Line& line, Totals& totals) {
#if LEDGER_VERSION == 2
    totals.entries += line.weight;
    totals.amount = totals.amount.value_or(0) + line.amount;
#else
    ++totals.count;
#if LEDGER_VERSION != 3
    totals.amount += line.amount;
#endif
    totals.memo = "written by 1";
#endif
  }
  weir::Status Note(const weir::StateKey& key, const Line& line) {
#if LEDGER_VERSION == 3
    return notes_.Set(key, line.id);
#else
    const std::string note(NoteOf(line));
    WEIR_ASSIGN_OR_RETURN(std::optional<int64_t> before, notes_.Get(key, note));
    return notes_.Put(key, note, before.value_or(0) + 1);
#endif
  }

  weir::ValueState<Totals> totals_;
  weir::ListState<int64_t> ids_;
#if LEDGER_VERSION == 3
  weir::ValueState<int64_t> notes_;
#else
  weir::MapState<std::string, int64_t> notes_;
#endif
  weir::ValueState<int64_t> last_;
};

Line LineOf(const Entry& entry) {
  Line line;
  line.id = entry.id;
  line.account = entry.account;
  line.amount = entry.amount;
  NoteOf(line) = entry.note;
  return line;
}

void Build(weir::JobBuilder& job, weir::Parameters& params) {
  const std::string input = params.Path("input", "the folder of the entries");
  const std::string out = params.Path("out", "the folder of the results");
  const double rate = params.Number("rate", "entries per second, 0: as fast as it goes", 0);
  auto lines = job.From("entries", weir::JsonFiles<Entry>({.input = input, .rate = rate},
                                                          [](const Entry& e) { return e.time; }))
                   .Map("lines", LineOf)
                   .Rebatch("gather", {.rows = 64, .delay = weir::Hours(1)});
#if LEDGER_VERSION != 4
  const weir::Duration window = weir::Hours(LEDGER_VERSION == 3 ? 48 : 24);
  lines = lines.Dedup("once", {.window = window}, [](const Line& line) {
#if LEDGER_VERSION == 3
    return line.id;
#else
    return std::string_view(reinterpret_cast<const char*>(&line.id), sizeof(line.id));
#endif
  });
#endif
#if LEDGER_VERSION == 3
  const auto account = [](const Line& line) { return std::tuple(line.account, line.note); };
#else
  const auto account = [](const Line& line) { return line.account; };
#endif
  lines.KeyBy(account)
      .Process<Booked>("book", Book())
      .To(LEDGER_VERSION == 4 ? "results" : "booked",
          weir::JsonFileSink<Booked>({.directory = out, .by_partition = false}));
}

}  // namespace

WEIR_JOB(ledger, Build)
