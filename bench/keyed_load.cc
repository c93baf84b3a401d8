// The job of the recovery benchmark with keyed state: for each key a count and a text of so many
// bytes, in one ValueState; {"id":7} in, {"id":7,"count":3} out.
#include <string>
#include <utility>

#include "jobs/job.h"

namespace {

struct Visit {
  int64_t id = -1;
  BOOST_DESCRIBE_CLASS(Visit, (), (id), (), ())
};

struct Account {
  int64_t count = 0;
  std::string text;
  BOOST_DESCRIBE_CLASS(Account, (), (count, text), (), ())
};

struct Counted {
  int64_t id = 0;
  int64_t count = 0;
  BOOST_DESCRIBE_CLASS(Counted, (), (id, count), (), ())
};

class CountVisits {
 public:
  explicit CountVisits(int64_t text_bytes) : text_bytes_(text_bytes) {}

  weir::Status Open(weir::KeyedStore& store) {
    WEIR_ASSIGN_OR_RETURN(account_, weir::ValueState<Account>::Register(store, "account"));
    return absl::OkStatus();
  }
  weir::Status Process(const Visit& visit, weir::ProcessContext<Counted>& context) {
    WEIR_ASSIGN_OR_RETURN(const auto before, account_.Get(context.key()));
    Account account = before.value_or(Account());
    ++account.count;
    // No two are alike, so that nothing makes the state smaller.
    account.text.resize(static_cast<size_t>(text_bytes_));
    auto random = static_cast<uint64_t>(visit.id);
    for (char& c : account.text) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      c = static_cast<char>('a' + (random >> 33) % 26);
    }
    WEIR_RETURN_IF_ERROR(account_.Set(context.key(), account));
    context.Emit({.id = visit.id, .count = account.count});
    return absl::OkStatus();
  }

 private:
  const int64_t text_bytes_;
  weir::ValueState<Account> account_;
};

void Build(weir::JobBuilder& job, weir::Parameters& params) {
  const std::string input = params.Path("input", "the folder of the visits");
  const std::string out = params.Path("out", "the folder of the results");
  const weir::Duration watch = params.Time("watch", "look for new files this often", 0);
  const double bytes = params.Number("bytes", "of the text that is kept of each key", 200);
  job.From("source", weir::JsonFiles<Visit>({.input = input, .watch = watch}))
      .KeyBy([](const Visit& visit) { return visit.id; })
      .Process<Counted>("accounts", CountVisits(static_cast<int64_t>(bytes)))
      .To("files", weir::JsonFileSink<Counted>({.directory = out, .by_partition = false}));
}

}  // namespace

WEIR_JOB(keyed_load, Build)
