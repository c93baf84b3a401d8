#include "testing/test_job.h"

#include <gmock/gmock.h>

#include "jobs/job.h"
#include "testing/gtest.h"

namespace weir::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Order {
  std::string_view customer;
  double amount = 0;
  BOOST_DESCRIBE_CLASS(Order, (), (customer, amount), (), ())
};
struct Spent {
  std::string_view customer;
  double total = 0;
  BOOST_DESCRIBE_CLASS(Spent, (), (customer, total), (), ())
};

class SumPerCustomer {
 public:
  Status Open(KeyedStore& store) {
    WEIR_ASSIGN_OR_RETURN(total_, ValueState<double>::Register(store, "total"));
    return absl::OkStatus();
  }
  Status Process(const Order& order, ProcessContext<Spent>& context) {
    if (order.amount < 0) return absl::InvalidArgumentError("negative amount");
    WEIR_ASSIGN_OR_RETURN(auto before, total_.Get(context.key()));
    const double total = before.value_or(0) + order.amount;
    WEIR_RETURN_IF_ERROR(total_.Set(context.key(), total));
    context.Emit({order.customer, total});
    return absl::OkStatus();
  }

 private:
  ValueState<double> total_;
};

void Build(JobBuilder& job, Parameters& params) {
  const std::string out = params.Path("out", "a folder for the results");
  job.From("orders", JsonFiles<Order>({.input = params.Path("input", "a folder of orders")}))
      .Filter("large-enough", [](const Order& o) { return o.amount != 0; })
      .KeyBy([](const Order& o) { return o.customer; })
      .Process<Spent>("sum", SumPerCustomer())
      .To("files", JsonFileSink<Spent>({.directory = out, .by_partition = false}));
  job.DeadLetters("dead-letters",
                  DeadLetterFileSink({.directory = out + "/dead", .by_partition = false}));
}
const Parameters::Values kValues = {{"input", "-"}, {"out", "-"}};

TEST(TestJobTest, RunsAJobOnRowsInMemory) {
  TestJob job(Build, kValues);
  auto orders = job.Source<Order>("orders");
  auto spent = job.Sink<Spent>("files");
  orders.Add({"ada", 10}, 1).Add({"bob", 5}, 2).Add({"ada", 0}, 3).Add({"ada", 2}, 4);
  WEIR_ASSERT_OK(job.Run());
  EXPECT_TRUE(job.finished());
  EXPECT_TRUE(SameRowsInOrder({Spent{"ada", 10}, {"bob", 5}, {"ada", 12}}, spent.Rows()));
  EXPECT_TRUE(SameRowsInOrder(spent.Rows(), spent.Committed()));
  EXPECT_THAT(spent.Times(), ElementsAre(1, 2, 4));
  EXPECT_EQ(job.Counters("large-enough").records_in, 4u);
  EXPECT_EQ(job.Counters("large-enough").dropped, 1u);
  EXPECT_THAT(job.DeadLetters(), IsEmpty());
}

TEST(TestJobTest, CollectsDeadLetters) {
  TestJob job(Build, kValues);
  auto orders = job.Source<Order>("orders");
  auto spent = job.Sink<Spent>("files");
  orders.Add({"ada", 10}, 1).Add({"ada", -1}, 2);
  WEIR_ASSERT_OK(job.Run());
  EXPECT_TRUE(SameRows({Spent{"ada", 10}}, spent.Rows()));
  EXPECT_TRUE(SameRows({FailedRow{"sum", "negative amount", R"({"customer":"ada","amount":-1.0})"}},
                       job.DeadLetters()));
}

TEST(TestJobTest, ACrashLosesWhatCameAfterTheCheckpointAndItIsDoneAgain) {
  for (int parallelism : {1, 2, 5}) {
    TestJob job(Build, kValues, {.parallelism = 2, .encode_edges = parallelism == 2});
    auto orders = job.Source<Order>("orders", {.splits = 3});
    auto spent = job.Sink<Spent>("files");
    orders.Add({"ada", 10}, 1).Add({"bob", 5}, 2);
    WEIR_ASSERT_OK(job.Checkpoint());
    EXPECT_EQ(spent.Committed().size(), 2u);
    orders.Add({"ada", 1}, 3).Add({"cy", 1}, 4).Add({"bob", 1}, 5);
    WEIR_ASSERT_OK(job.Process());
    EXPECT_EQ(spent.Rows().size(), 5u);
    EXPECT_EQ(spent.Committed().size(), 2u);
    job.Crash();
    WEIR_ASSERT_OK(job.Restore(parallelism));
    EXPECT_EQ(spent.Rows().size(), 2u);
    WEIR_ASSERT_OK(job.Run());
    EXPECT_TRUE(SameRowsPerKey("customer",
                               {Spent{"ada", 10}, {"bob", 5}, {"ada", 11}, {"cy", 1}, {"bob", 6}},
                               spent.Committed()));
    EXPECT_EQ(job.Counters("sum").records_in, 5u) << "at parallelism " << parallelism;
  }
}

TEST(TestJobTest, WithoutACheckpointACrashStartsOver) {
  TestJob job(Build, kValues);
  auto orders = job.Source<Order>("orders");
  auto spent = job.Sink<Spent>("files");
  orders.Add({"ada", 10}, 1);
  WEIR_ASSERT_OK(job.Process());
  job.Crash();
  EXPECT_TRUE(SameRows({Spent{"ada", 10}}, spent.Rows())) << "until somebody cleans up";
  WEIR_ASSERT_OK(job.Restore());
  EXPECT_THAT(spent.Rows(), IsEmpty());
  WEIR_ASSERT_OK(job.Run());
  EXPECT_TRUE(SameRows({Spent{"ada", 10}}, spent.Rows()));
}

// Says how long a customer was quiet, by either clock.
struct Quiet {
  TimerKind kind;
  Status Open(KeyedStore&) { return absl::OkStatus(); }
  Status Process(const Order&, ProcessContext<Spent>& context) {
    return context.SetTimer(kind, context.time() + Minutes(1));
  }
  Status OnTimer(TimerKind, Timestamp time, ProcessContext<Spent>& context) {
    context.Emit({context.Keep(context.key().bytes), static_cast<double>(time)});
    return absl::OkStatus();
  }
};

StatusOr<BuiltJob> QuietJob(TimerKind kind, RebatchOptions rebatch = {.rows = 1}) {
  JobBuilder job("quiet");
  job.From("orders", JsonFiles<Order>({.input = "-"}))
      .Rebatch("rebatch", rebatch)
      .KeyBy([](const Order& o) { return o.customer; })
      .Process<Spent>("quiet", Quiet{kind})
      .To("out", JsonStdout<Spent>());
  return job.Build();
}

TEST(TestJobTest, EventTimersFireWithTheWatermark) {
  for (int parallelism : {1, 3}) {
    TestJob job(QuietJob(TimerKind::kEventTime), {.parallelism = parallelism});
    auto orders = job.Source<Order>("orders");
    auto out = job.Sink<Spent>("out");
    orders.Add({"ada", 1}, Seconds(1)).Watermark(Seconds(60));
    WEIR_ASSERT_OK(job.Process());
    EXPECT_THAT(out.Rows(), IsEmpty());
    orders.Watermark(Seconds(61));
    WEIR_ASSERT_OK(job.Process());
    EXPECT_TRUE(SameRows({Spent{"ada", 61e6}}, out.Rows()));
  }
}

TEST(TestJobTest, ProcessingTimersFireAsTimePassesAndNotBefore) {
  TestJobOptions options;
  TestJob job(QuietJob(TimerKind::kProcessingTime), options);
  auto orders = job.Source<Order>("orders");
  auto out = job.Sink<Spent>("out");
  orders.Add({"ada", 1}, options.start);
  WEIR_ASSERT_OK(job.Advance(Minutes(1) - 1));
  EXPECT_THAT(out.Rows(), IsEmpty());
  WEIR_ASSERT_OK(job.Advance(1));
  EXPECT_EQ(out.Rows().size(), 1u);
}

TEST(TestJobTest, RunLetsTimePassAsTheScriptAndTheStagesAskForIt) {
  TestJobOptions options;
  TestJob job(QuietJob(TimerKind::kProcessingTime, {.rows = 10, .delay = Seconds(30)}), options);
  auto orders = job.Source<Order>("orders");
  auto out = job.Sink<Spent>("out");
  orders.Add({"ada", 1}, options.start).Wait(Hours(1)).Add({"bob", 1}, options.start + Hours(1));
  WEIR_ASSERT_OK(job.Run());
  EXPECT_TRUE(SameRows({Spent{"ada", static_cast<double>(options.start + Minutes(1))}}, out.Rows()))
      << "a timer of the clock does not fire any more once the input has ended";
  EXPECT_EQ(job.clock().now, options.start + Hours(1));
}

TEST(TestJobTest, StateExpiresInVirtualTime) {
  struct Count {
    ValueState<int64_t> seen;
    Status Open(KeyedStore& store) {
      WEIR_ASSIGN_OR_RETURN(seen, ValueState<int64_t>::Register(store, "seen", {.ttl = Hours(1)}));
      return absl::OkStatus();
    }
    Status Process(const Order& order, ProcessContext<Spent>& context) {
      WEIR_ASSIGN_OR_RETURN(auto before, seen.Get(context.key()));
      context.Emit({order.customer, static_cast<double>(before.value_or(0))});
      return seen.Set(context.key(), before.value_or(0) + 1);
    }
  };
  JobBuilder builder("ttl");
  builder.From("orders", JsonFiles<Order>({.input = "-"}))
      .KeyBy([](const Order& o) { return o.customer; })
      .Process<Spent>("count", Count())
      .To("out", JsonStdout<Spent>());
  TestJob job(builder.Build());
  auto orders = job.Source<Order>("orders");
  auto out = job.Sink<Spent>("out");
  orders.Add({"a", 1}, 1).Wait(Minutes(30)).Add({"a", 1}, 1).Wait(Hours(2)).Add({"a", 1}, 1);
  WEIR_ASSERT_OK(job.Run());
  EXPECT_TRUE(SameRowsInOrder({Spent{"a", 0}, {"a", 1}, {"a", 0}}, out.Rows()));
}

TEST(TestJobTest, TellsWhatIsWrongWithTheTest) {
  EXPECT_THAT(std::string(TestJob(Build, {}).Run().message()), HasSubstr("'out' is missing"));
  {
    TestJob job(Build, kValues);
    job.Source<Order>("order").Add({"ada", 1}, 1);
    EXPECT_THAT(std::string(job.Run().message()), HasSubstr("no source 'order'; it has orders"));
  }
  {
    TestJob job(Build, kValues);
    EXPECT_THAT(job.Sink<Order>("files").Rows(), IsEmpty());
    EXPECT_THAT(
        std::string(job.Run().message()),
        HasSubstr(
            "stage 'files' has rows of another type than the test: struct{customer:string,total"));
  }
  {
    TestJob job(Build, kValues);
    auto orders = job.Source<Order>("orders");
    WEIR_ASSERT_OK(job.Process());
    job.Sink<Spent>("files");
    EXPECT_THAT(std::string(job.Run().message()), HasSubstr("replaced too late"));
  }
}

TEST(TestJobTest, AFailureOfTheJobIsToldAndCanBeRestored) {
  bool broken = true;
  JobBuilder builder("fails");
  builder.From("orders", JsonFiles<Order>({.input = "-"}))
      .Map("map",
           [&broken](const Order& o) -> StatusOr<Spent> {
             if (broken && o.amount > 1) return absl::InternalError("it is broken");
             return Spent{o.customer, o.amount};
           })
      .To("out", JsonStdout<Spent>());
  TestJob job(builder.Build());
  auto orders = job.Source<Order>("orders");
  auto out = job.Sink<Spent>("out");
  orders.Add({"a", 1}, 1);
  WEIR_ASSERT_OK(job.Checkpoint());
  orders.Add({"b", 2}, 2);
  const Status failed = job.Run();
  EXPECT_THAT(std::string(failed.message()), HasSubstr("stage 'map' (subtask 0)"));
  EXPECT_THAT(std::string(failed.message()), HasSubstr("it is broken"));
  EXPECT_EQ(job.Process(), failed) << "only a restore goes on";
  broken = false;
  WEIR_ASSERT_OK(job.Restore());
  WEIR_ASSERT_OK(job.Run());
  EXPECT_TRUE(SameRows({Spent{"a", 1}, {"b", 2}}, out.Committed()));
}

TEST(TestJobTest, DoesTheSameEachTime) {
  auto run = [] {
    TestJob job(Build, kValues, {.parallelism = 4});
    auto orders = job.Source<Order>("orders", {.splits = 5, .batch_rows = 3});
    auto spent = job.Sink<Spent>("files");
    for (int i = 0; i < 500; ++i) {
      const std::string customer = "c" + std::to_string(i % 17);
      orders.Add({customer, 1.0 + i}, i);
    }
    EXPECT_TRUE(IsOk(job.Run()));
    return spent.Json();
  };
  const std::vector<std::string> first = run();
  EXPECT_EQ(first.size(), 500u);
  EXPECT_EQ(RowDifference(first, run(), {.order = RowOrder::kSame}), "");
}

}  // namespace
}  // namespace weir::testing
