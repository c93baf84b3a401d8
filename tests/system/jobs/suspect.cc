// The job of the tests of crashes, of going back and of failure policies: numbered rows through
// dedup and a count per key to files, with a stage in between that breaks at chosen rows.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>

#include "core/crash_site.h"
#include "jobs/job.h"

namespace {

struct Number {
  int64_t n = 0;
  BOOST_DESCRIBE_CLASS(Number, (), (n), (), ())
};

struct Counted {
  int64_t n = 0;
  int64_t key = 0;
  int64_t count = 0;  // of the rows of this key so far
  BOOST_DESCRIBE_CLASS(Counted, (), (n, key, count), (), ())
};

// Holds the slot until the file is there, asleep or at work.
void Stall(bool at_work, const std::string& until) {
  while (access(until.c_str(), F_OK) != 0) {
    if (!at_work) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

// Writes 32 MiB to standard error.
void Chatter() {
  const std::string line = std::string(1023, 'x') + "\n";
  for (int i = 0; i < 32 << 10; ++i) std::fputs(line.c_str(), stderr);
}

// Takes memory until somebody ends the process.
[[noreturn]] void Leak() {
  constexpr size_t kBytes = 8 << 20;
  for (;;) {
    auto* const bytes = static_cast<volatile char*>(std::malloc(kBytes));
    for (size_t i = 0; i < kBytes; i += 4096) bytes[i] = 1;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

// Crashes the process, or fails the row, the way that `how` names; or only takes too much.
void Break(const std::string& how, const std::string& token, const std::string& until) {
  static volatile int zero = 0;
  if (how == "sleep" || how == "spin") return Stall(how == "spin", until);
  if (how == "chatter") return Chatter();
  if (how == "leak") Leak();
  static std::atomic<uint32_t> row = 17;
  if (how == "plugin") {  // as one that publishes what it is and at which row
    weir::CurrentCrashSite().component = "plugin 'upper' 1.2";
    weir::CurrentCrashSite().row = &row;
    std::abort();
  }
  if (how == "segv") *reinterpret_cast<volatile int*>(8 + zero) = 1;
  if (how == "abort") std::abort();
  if (how == "fpe") raise(SIGFPE);  // not every processor traps a division by zero
  if (how == "kill") raise(SIGKILL);
  if (how == "overflow") {
    volatile char page[1 << 14];
    page[0] = 1;
    Break(how, token, until);
    page[1] = page[0];
  }
  throw std::runtime_error("broken: " + how + (token.empty() ? "" : " with " + token));
}

class CountPerKey {
 public:
  explicit CountPerKey(int64_t fail_every) : fail_every_(fail_every) {}

  weir::Status Open(weir::KeyedStore& store) {
    WEIR_ASSIGN_OR_RETURN(count_, weir::ValueState<int64_t>::Register(store, "count"));
    return absl::OkStatus();
  }
  weir::Status Process(const Number& row, weir::ProcessContext<Counted>& context) {
    WEIR_ASSIGN_OR_RETURN(auto before, count_.Get(context.key()));
    const int64_t count = before.value_or(0) + 1;
    WEIR_RETURN_IF_ERROR(count_.Set(context.key(), count));
    context.Emit({row.n, row.n % 10, count});
    if (fail_every_ > 0 && row.n % fail_every_ == 0) return absl::InternalError("not this one");
    return absl::OkStatus();
  }

 private:
  weir::ValueState<int64_t> count_;
  int64_t fail_every_;
};

void Build(weir::JobBuilder& job, weir::Parameters& params) {
  weir::FileSourceOptions source;
  source.input = params.Path("input", "numbered rows");
  source.rate = params.Number("rate", "rows per second, 0: as fast as it goes", 0);
  const std::string out = params.Path("out", "the folder of the results");
  const bool can_revoke = params.Flag("can-revoke", "whether the files stay where they are", true);
  const bool print = params.Flag("print", "print the rows too", false);
  const int64_t break_at = params.Integer("break-at", "breaks at this number", -1);
  const std::string how = params.Text(
      "break", "segv, abort, fpe, overflow, plugin, kill, sleep, spin, leak, chatter, throw",
      "throw");
  const std::string until = params.Text("until", "the file that ends sleep and spin", "");
  const int64_t stall_at = params.Integer("stall-at", "sleeps at this number too", -1);
  const std::string token = params.Text("token", "said when it throws; nobody's business", "");
  const int64_t fail_every = params.Integer("fail-every", "rows that the count refuses", 0);
  const std::string policy = params.Text("policy", "dead-letter, drop or fail", "dead-letter");
  const weir::FailurePolicy on_failure = policy == "drop"   ? weir::FailurePolicy::kDrop
                                         : policy == "fail" ? weir::FailurePolicy::kFail
                                                            : weir::FailurePolicy::kDeadLetter;
  auto counted =
      job.From("numbers", weir::JsonFiles<Number>(source))
          .Dedup("once", {.window = weir::Hours(24)},
                 [](const Number& row) {
                   return std::string_view(reinterpret_cast<const char*>(&row.n), sizeof row.n);
                 })
          .Map("touchy",
               [=](const Number& row) {
                 if (row.n == break_at) Break(how, token, until);
                 if (row.n == stall_at) Stall(false, until);
                 return row;
               })
          .OnFailure(on_failure)
          .KeyBy([](const Number& row) { return row.n % 10; })
          .Process<Counted>("count", CountPerKey(fail_every))
          .OnFailure(on_failure);
  counted.To("files",
             weir::JsonFileSink<Counted>(
                 {.directory = out + "/counted", .by_partition = false, .can_revoke = can_revoke}));
  if (print) counted.To("print", weir::JsonStdout<Counted>());
  job.DeadLetters("dead-letters", weir::DeadLetterFileSink(
                                      {.directory = out + "/dead-letters", .by_partition = false}));
}

}  // namespace

WEIR_JOB(suspect, Build)
