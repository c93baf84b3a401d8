// Counts the visits of each key, in keyed state: {"key":7} in, {"key":7,"count":3} out for each;
// and with totals=true also, by a timer behind the end of the input, {"key":7,"total":3} once.
#include "jobs/job.h"

namespace {

struct Visit {
  int64_t key = -1;
  BOOST_DESCRIBE_CLASS(Visit, (), (key), (), ())
};

struct Counted {
  int64_t key = 0;
  std::optional<int64_t> count;
  std::optional<int64_t> total;
  BOOST_DESCRIBE_CLASS(Counted, (), (key, count, total), (), ())
};

class CountVisits {
 public:
  explicit CountVisits(bool totals) : totals_(totals) {}

  weir::Status Open(weir::KeyedStore& store) {
    WEIR_ASSIGN_OR_RETURN(count_, weir::ValueState<int64_t>::Register(store, "count"));
    return absl::OkStatus();
  }
  weir::Status Process(const Visit& visit, weir::ProcessContext<Counted>& context) {
    WEIR_ASSIGN_OR_RETURN(auto before, count_.Get(context.key()));
    const int64_t count = before.value_or(0) + 1;
    WEIR_RETURN_IF_ERROR(count_.Set(context.key(), count));
    context.Emit({.key = visit.key, .count = count});
    return totals_ ? context.SetTimer(weir::TimerKind::kEventTime, weir::kMaxTimestamp)
                   : absl::OkStatus();
  }
  weir::Status OnTimer(weir::TimerKind, weir::Timestamp, weir::ProcessContext<Counted>& context) {
    WEIR_ASSIGN_OR_RETURN(auto count, count_.Get(context.key()));
    int64_t key = 0;
    weir::ByteReader bytes(context.key().bytes);
    if (!count || !bytes.Signed(key)) return absl::InternalError("a timer without its key's count");
    context.Emit({.key = key, .total = *count});
    return absl::OkStatus();
  }

 private:
  const bool totals_;
  weir::ValueState<int64_t> count_;
};

void Build(weir::JobBuilder& job, weir::Parameters& params) {
  const std::string input = params.Path("input", "the folder of the visits");
  const std::string out = params.Path("out", "the folder of the results");
  const double rate = params.Number("rate", "visits per second, 0: as fast as it goes", 0);
  const bool totals = params.Flag("totals", "a total for each key at the end", false);
  job.From("visits", weir::JsonFiles<Visit>({.input = input, .rate = rate}))
      .KeyBy([](const Visit& visit) { return visit.key; })
      .Process<Counted>("count", CountVisits(totals))
      .To("counts", weir::JsonFileSink<Counted>({.directory = out, .by_partition = false}));
}

}  // namespace

WEIR_JOB(visits, Build)
