// /metrics: names, labels, and which jobs are told of.
#include "runtime/rest/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/limits.h"

namespace weir {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr Timestamp kNow = Seconds(1'700'000'000);

rest::Job& AddJob(rest::Snapshot& snapshot, const std::string& id, const std::string& name,
                  const std::string& state) {
  rest::Job& job = *snapshot.add_jobs();
  job.set_id(id);
  job.set_name(name);
  job.set_state(state);
  job.set_ended(state == "FINISHED" || state == "FAILED");
  job.set_created_at(static_cast<double>(kNow - Seconds(100)));
  job.set_updated_at(static_cast<double>(kNow - Seconds(10)));
  return job;
}

TEST(MetricsTest, WhatAlertsNeed) {
  rest::Snapshot snapshot;
  rest::Job& job = AddJob(snapshot, "a-1", "a", "RUNNING");
  job.set_restarts(3);
  job.set_memory_bytes(5e8);
  job.mutable_checkpoints()->set_failed(2);
  job.mutable_checkpoints()->set_last_duration_ms(250);
  job.mutable_checkpoints()->set_last_completed_at(static_cast<double>(kNow - Seconds(7)));
  rest::Operator& op = *job.add_operators();
  op.set_name("dedup");
  op.set_live_records_in(1e9);
  rest::Subtask& subtask = *op.add_subtasks();
  subtask.set_index(5);
  subtask.set_records_in(12345678901);
  subtask.set_records_out(10);
  subtask.set_dead_letters(1);
  subtask.set_watermark_lag_seconds(0.5);
  subtask.set_busy_seconds(1.25);
  subtask.set_backpressured_seconds(2.5);
  subtask.set_stalls(2);
  subtask.set_stalled_seconds(12.5);
  subtask.set_queue_bytes(4096);
  subtask.set_state_bytes(1e9);
  const std::string text = WriteMetrics(snapshot, kNow);
  const std::string at = "{job_name=\"a\",operator=\"dedup\",subtask=\"5\"} ";
  EXPECT_THAT(text, HasSubstr("# TYPE weir_records_in_total counter\n"));
  EXPECT_THAT(text, HasSubstr("\nweir_records_in_total" + at + "12345678901\n"));
  EXPECT_THAT(text, HasSubstr("\nweir_records_out_total" + at + "10\n"));
  EXPECT_THAT(text, HasSubstr("\nweir_dead_letters_total" + at + "1\n"));
  EXPECT_THAT(text, HasSubstr("\nweir_watermark_lag_seconds" + at + "0.5\n"));
  EXPECT_THAT(text, HasSubstr("\nweir_busy_seconds_total" + at + "1.25\n"));
  EXPECT_THAT(text, HasSubstr("\nweir_backpressured_seconds_total" + at + "2.5\n"));
  EXPECT_THAT(text, HasSubstr("\nweir_stalls_total" + at + "2\n"));
  EXPECT_THAT(text, HasSubstr("\nweir_stalled_seconds" + at + "12.5\n"));
  EXPECT_THAT(text, HasSubstr("\nweir_queue_bytes" + at + "4096\n"));
  EXPECT_THAT(text, HasSubstr("\nweir_state_bytes" + at + "1000000000\n"));
  EXPECT_THAT(text, HasSubstr("\nweir_memory_bytes{job_name=\"a\"} 500000000\n"));
  EXPECT_THAT(text, HasSubstr("\nweir_checkpoint_duration_seconds{job_name=\"a\"} 0.25\n"));
  EXPECT_THAT(text, HasSubstr("\nweir_checkpoints_failed_total{job_name=\"a\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("\nweir_checkpoint_age_seconds{job_name=\"a\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("\nweir_restarts_total{job_name=\"a\"} 3\n"));
  EXPECT_THAT(text, Not(HasSubstr("job_id")));
}

TEST(MetricsTest, EachFamilyStandsTogetherOnce) {
  rest::Snapshot snapshot;
  for (const char* name : {"a", "b", "c"}) {
    rest::Job& job = AddJob(snapshot, name, name, "RUNNING");
    job.add_operators()->set_name("map");
  }
  const std::string text = WriteMetrics(snapshot, kNow);
  const std::string heading = "# TYPE weir_records_in_total ";
  const size_t first = text.find(heading);
  ASSERT_NE(first, text.npos);
  EXPECT_EQ(text.find(heading, first + 1), text.npos);
}

TEST(MetricsTest, AWatermarkThatIsNoneAndACheckpointThatWasNone) {
  rest::Snapshot snapshot;
  rest::Job& job = AddJob(snapshot, "a-1", "a", "RUNNING");
  rest::Subtask& subtask = *job.add_operators()->add_subtasks();
  subtask.set_watermark_lag_seconds(-1);
  const std::string text = WriteMetrics(snapshot, kNow);
  EXPECT_THAT(text, Not(HasSubstr("weir_watermark_lag_seconds")));
  // An alert must fire for a job that has never had a checkpoint.
  EXPECT_THAT(text, HasSubstr("\nweir_checkpoint_age_seconds{job_name=\"a\"} 100\n"));
}

TEST(MetricsTest, TwoLiveJobsOfOneNameAreToldApart) {
  rest::Snapshot snapshot;
  AddJob(snapshot, "a-1", "a", "RUNNING");
  AddJob(snapshot, "a-2", "a", "WAITING_FOR_SLOTS");
  AddJob(snapshot, "b-1", "b", "RUNNING");
  const std::string text = WriteMetrics(snapshot, kNow);
  EXPECT_THAT(text, HasSubstr("weir_job_running{job_name=\"a\",job_id=\"a-1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("weir_job_running{job_name=\"a\",job_id=\"a-2\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("weir_job_running{job_name=\"b\"} 1\n"));
}

TEST(MetricsTest, EndedJobsStayAWhileUnlessANewerOneHasTheirName) {
  rest::Snapshot snapshot;
  AddJob(snapshot, "a-1", "a", "FAILED");
  AddJob(snapshot, "a-2", "a", "RUNNING").set_created_at(static_cast<double>(kNow - Seconds(9)));
  AddJob(snapshot, "b-1", "b", "FINISHED").set_restarts(1);
  AddJob(snapshot, "b-2", "b", "FAILED").set_updated_at(static_cast<double>(kNow));
  rest::Job& old = AddJob(snapshot, "c-1", "c", "FINISHED");
  old.set_updated_at(static_cast<double>(kNow - limits::kMetricsEndedJobAge - 1));
  const std::string text = WriteMetrics(snapshot, kNow);
  EXPECT_THAT(text, HasSubstr("weir_job_running{job_name=\"a\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("weir_job_failed{job_name=\"b\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("job_id")));
  EXPECT_THAT(text, Not(HasSubstr("\"c\"")));
}

TEST(MetricsTest, WhatRunsBesideAFailedJobDoesNotHideIt) {
  rest::Snapshot snapshot;
  AddJob(snapshot, "a-1", "a", "FAILED");
  AddJob(snapshot, "a-2", "a", "RUNNING");
  AddJob(snapshot, "a-3", "a", "FINISHED").set_updated_at(static_cast<double>(kNow));
  const std::string text = WriteMetrics(snapshot, kNow);
  EXPECT_THAT(text, HasSubstr("weir_job_failed{job_name=\"a\",job_id=\"a-1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("weir_job_failed{job_name=\"a\",job_id=\"a-2\"} 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("a-3")));
}

TEST(MetricsTest, LabelsAreEscaped) {
  rest::Snapshot snapshot;
  AddJob(snapshot, "a-1", "a\"b\\c\nd", "RUNNING");
  EXPECT_THAT(WriteMetrics(snapshot, kNow), HasSubstr(R"({job_name="a\"b\\c\nd"})"));
}

TEST(MetricsTest, LostWorkersHaveNoSlots) {
  rest::Snapshot snapshot;
  for (const char* state : {"ACTIVE", "ACTIVE", "LOST"}) {
    rest::Worker& worker = *snapshot.add_workers();
    worker.set_state(state);
    worker.set_slots(4);
    worker.set_slots_free(1);
  }
  const std::string text = WriteMetrics(snapshot, kNow);
  EXPECT_THAT(text, HasSubstr("weir_workers{state=\"ACTIVE\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("weir_workers{state=\"LEAVING\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("weir_workers{state=\"LOST\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("weir_slots 8\n"));
  EXPECT_THAT(text, HasSubstr("weir_slots_free 2\n"));
}

}  // namespace
}  // namespace weir
