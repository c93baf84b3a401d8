// The REST interface in front of a cluster that is none: routes, roles, errors, and what a request
// cannot do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <random>
#include <thread>

#include "core/json.h"
#include "runtime/rest/rest_json.h"
#include "runtime/rest/rest_server.h"
#include "tests/support/fake_cluster.h"
#include "tests/support/raw_http.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using testing::FakeCluster;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::RawHttp;
using testing::RawResponse;

const std::string kJobPath = std::string("/v1/jobs/") + FakeCluster::kJob;

class RestTest : public ::testing::Test {
 protected:
  void SetUp() override { Start({}); }
  void Start(RestServer::Options options) {
    server_.reset();
    auto server = RestServer::Start(network_, {"127.0.0.1", 0}, cluster_, std::move(options));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  RawResponse Ask(std::string_view method, std::string_view path, std::string_view body = "",
                  std::string_view more_fields = "") {
    return testing::Ask(server_->address(), method, path, body, more_fields);
  }
  template <class Message>
  Message Get(const std::string& path) {
    const RawResponse response = Ask("GET", path);
    EXPECT_EQ(response.status, 200) << path << " " << response.body;
    Message message;
    const Status parsed = FromJson(response.body, UnknownFields::kRefuse, message);
    EXPECT_TRUE(parsed.ok()) << parsed;
    return message;
  }

  FakeCluster cluster_;
  NetworkThread network_;
  std::unique_ptr<RestServer> server_;
};

TEST_F(RestTest, AJobAsJsonWithEveryMemberByItsName) {
  const RawResponse response = Ask("GET", kJobPath);
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.head, HasSubstr("Content-Type: application/json"));
  JsonParser parser;
  const StatusOr<JsonValue> json = parser.ParseUnpadded(response.body);
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ(json->Find("id")->GetString(), FakeCluster::kJob);
  EXPECT_EQ(json->Find("restarts")->GetInt(), 0);  // zero, and there
  EXPECT_EQ(json->Find("created_at")->GetDouble(), 1.7e15);
  EXPECT_EQ(json->Find("updated_at")->GetDouble(), 1.7e15 + 250);  // to the microsecond
  EXPECT_EQ(json->Find("operators")->At(0).FindPath("name")->GetString(), "dedup");
}

TEST_F(RestTest, EachRouteAsksTheCluster) {
  EXPECT_EQ(Get<rest::JobList>("/v1/jobs").jobs_size(), 1);
  EXPECT_EQ(Get<rest::WorkerList>("/v1/workers").workers(0).id(), "worker-1");
  EXPECT_EQ(Get<rest::CheckpointList>(kJobPath + "/checkpoints").checkpoints(0).id(), 7);
  EXPECT_EQ(Ask("DELETE", kJobPath).status, 200);
  EXPECT_EQ(Ask("POST", kJobPath + "/stop", R"({"drain":true})").status, 202);
  EXPECT_EQ(Ask("POST", kJobPath + "/stop").status, 202);  // all defaults
  const RawResponse savepoint = Ask("POST", kJobPath + "/savepoints", R"({"to":"s3://there"})");
  EXPECT_EQ(savepoint.status, 202);
  EXPECT_THAT(savepoint.body, HasSubstr(R"("id":"sav-9")"));
  EXPECT_EQ(Get<rest::SavepointOperation>(kJobPath + "/savepoints/sav-9").state(), "IN_PROGRESS");
  EXPECT_EQ(Ask("PUT", kJobPath + "/parallelism", R"({"parallelism":3})").status, 200);
  const std::string job = FakeCluster::kJob;
  EXPECT_THAT(cluster_.calls(),
              ElementsAre("ListJobs", "ListWorkers", "ListCheckpoints " + job, "CancelJob " + job,
                          "StopJob " + job + " drain=true", "StopJob " + job + " drain=false",
                          "TriggerSavepoint " + job + " to=s3://there",
                          "GetSavepoint " + job + " sav-9", "RescaleJob " + job + " 3"));
}

TEST_F(RestTest, SubmittedIsWhatWasSent) {
  const RawResponse response = Ask("POST", "/v1/jobs",
                                   R"({"library_sha256":"ab","parameters":{"out":"/o","n":"1"},)"
                                   R"("parallelism":4,"checkpoint_interval_seconds":0.5,)"
                                   R"("resources":[{"name":"r","path":"/r","sha256":"cd"}]})");
  EXPECT_EQ(response.status, 200) << response.body;
  EXPECT_THAT(response.body, HasSubstr(R"("id":"submitted-1")"));
  const rest::SubmitRequest submitted = cluster_.submitted();
  EXPECT_EQ(submitted.parameters().at("out"), "/o");
  EXPECT_EQ(submitted.checkpoint_interval_seconds(), 0.5);
  EXPECT_EQ(submitted.resources(0).sha256(), "cd");
}

TEST_F(RestTest, AJobHasCheckpointsUnlessItSaysThatItWantsNone) {
  EXPECT_EQ(Ask("POST", "/v1/jobs", "{}").status, 200);
  EXPECT_EQ(cluster_.submitted().checkpoint_interval_seconds(), 10);
  EXPECT_EQ(Ask("POST", "/v1/jobs", R"({"checkpoint_interval_seconds":0})").status, 200);
  EXPECT_EQ(cluster_.submitted().checkpoint_interval_seconds(), 0);
}

TEST_F(RestTest, WrongJsonIsAnErrorThatNamesTheField) {
  const auto refused = [&](std::string_view body) {
    const RawResponse response = Ask("POST", kJobPath + "/stop", body);
    EXPECT_EQ(response.status, 400) << body;
    return response.body;
  };
  EXPECT_THAT(refused(R"({"drian":true})"), HasSubstr("drian"));
  EXPECT_THAT(refused(R"({"drain":"perhaps"})"), HasSubstr("drain"));
  EXPECT_THAT(refused(R"({"drain":true)"), HasSubstr("StopRequest"));
  EXPECT_THAT(refused("drain=true"), HasSubstr("StopRequest"));
  EXPECT_THAT(refused("[]"), HasSubstr("StopRequest"));
  EXPECT_THAT(refused("{\"drain\":true}{}"), HasSubstr("StopRequest"));
  EXPECT_THAT(refused("{\"\xff\":1}"), HasSubstr("UTF-8"));
  EXPECT_THAT(refused(std::string(50'000, '[')), HasSubstr("StopRequest"));
  EXPECT_THAT(cluster_.calls(), IsEmpty());
}

TEST_F(RestTest, TheClustersErrorsHaveTheirStatus) {
  const std::vector<std::pair<Status, int>> expected = {
      {absl::InvalidArgumentError("x"), 400},   {absl::FailedPreconditionError("x"), 409},
      {absl::OutOfRangeError("x"), 409},        {absl::NotFoundError("x"), 404},
      {absl::ResourceExhaustedError("x"), 507}, {absl::UnavailableError("x"), 503},
      {absl::InternalError("x"), 500},          {absl::DataLossError("x"), 500}};
  for (const auto& [status, http_status] : expected) {
    cluster_.Fail(status);
    const RawResponse response = Ask("GET", "/v1/workers");
    EXPECT_EQ(response.status, http_status) << status;
    rest::Error error;
    ASSERT_TRUE(FromJson(response.body, UnknownFields::kRefuse, error).ok()) << response.body;
    EXPECT_EQ(error.code(), absl::StatusCodeToString(status.code()));
    EXPECT_EQ(error.message(), "x");
  }
}

TEST_F(RestTest, NoPathLeadsOut) {
  for (const char* path : {"/v1/jobs/..",
                           "/v1/jobs/../workers",
                           "/v1/jobs/%2e%2e",
                           "/v1/jobs/%2e",
                           "/v1/jobs/.hidden",
                           "/v1/jobs/a%2fb",
                           "/v1/jobs/a%00",
                           "/v1/jobs/A",
                           "/v1/jobs/a\\b",
                           "/v1/jobs/",
                           "/v1//jobs",
                           "/v1/jobs/a/",
                           "//v1/jobs",
                           "/v1/blobs/..",
                           "/v1/blobs/../../etc/passwd",
                           "/",
                           "*",
                           "/v1/jobs/x/savepoints/..",
                           "http://127.0.0.1/v1/jobs",
                           "/V1/jobs",
                           "/v1/jobs/a;b",
                           "/v1/jobs/\xc3\xa4"}) {
    const RawResponse response = Ask("GET", path);
    EXPECT_TRUE(response.status == 404 || response.status == 400)
        << path << " " << response.status << " " << response.body;
  }
  EXPECT_EQ(Ask("GET", "/v1/jobs/" + std::string(129, 'a')).status, 404);
  EXPECT_THAT(cluster_.calls(), IsEmpty());
  EXPECT_EQ(Ask("GET", "/v1/jobs/" + std::string(128, 'a')).status, 404);
  EXPECT_THAT(cluster_.calls(), ElementsAre("GetJob " + std::string(128, 'a')));
}

TEST_F(RestTest, AnotherMethodIsToldWhichThereAre) {
  const RawResponse response = Ask("PATCH", kJobPath);
  EXPECT_EQ(response.status, 405);
  EXPECT_THAT(response.head, HasSubstr("Allow: DELETE, GET, HEAD\r\n"));
  EXPECT_EQ(Ask("OPTIONS", "/v1/jobs").status, 405);
  EXPECT_EQ(Ask("HEAD", "/v1/jobs").status, 200);
}

TEST_F(RestTest, WhatHasNoEffectIsRefused) {
  EXPECT_EQ(Ask("POST", kJobPath + "/stop?drain=true").status, 400);
  EXPECT_EQ(Ask("DELETE", kJobPath, "{}").status, 413);  // it takes no body
  EXPECT_EQ(Ask("POST", "/v1/jobs", std::string(limits::kHttpJsonBytesMax + 1, ' ')).status, 413);
  EXPECT_THAT(cluster_.calls(), IsEmpty());
}

TEST_F(RestTest, BlobsAreTakenWithTheirOwnHashAlone) {
  const std::string library(3 << 20, 'L');
  const std::string path = "/v1/blobs/" + Sha256Hex(library);
  EXPECT_EQ(Ask("HEAD", path).status, 404);
  EXPECT_EQ(Ask("PUT", path, library).status, 200);
  EXPECT_EQ(Ask("PUT", path, library).status, 200);
  EXPECT_EQ(Ask("HEAD", path).status, 200);
  EXPECT_EQ(Ask("GET", path + "/bytes").body, library);
  EXPECT_EQ(Ask("GET", "/v1/blobs/" + Sha256Hex("other") + "/bytes").status, 404);
  const RawResponse wrong = Ask("PUT", "/v1/blobs/" + Sha256Hex("other"), library);
  EXPECT_EQ(wrong.status, 400);
  EXPECT_THAT(wrong.body, HasSubstr(Sha256Hex(library)));
  EXPECT_EQ(Ask("PUT", "/v1/blobs/abc", library).status, 404);
  std::string upper = path;
  for (char& c : upper) {
    if (c >= 'a' && c <= 'f') c = static_cast<char>(c - 'a' + 'A');
  }
  EXPECT_EQ(Ask("PUT", upper, library).status, 404);
}

TEST_F(RestTest, ReadyOrNotWithTheReason) {
  EXPECT_EQ(Ask("GET", "/readyz").status, 200);
  cluster_.Fail(absl::UnavailableError("the jobs are still being read"));
  EXPECT_EQ(Ask("GET", "/healthz").status, 200);
  const RawResponse response = Ask("GET", "/readyz");
  EXPECT_EQ(response.status, 503);
  EXPECT_THAT(response.body, HasSubstr("the jobs are still being read"));
}

TEST_F(RestTest, MetricsOfJobsAndWorkers) {
  const RawResponse response = Ask("GET", "/metrics");
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.head, HasSubstr("Content-Type: text/plain; version=0.0.4"));
  EXPECT_THAT(response.body,
              HasSubstr("weir_records_in_total{job_name=\"event_pipeline\",operator=\"dedup\","
                        "subtask=\"1\"} 101\n"));
}

TEST_F(RestTest, TextsThatAreNoUtf8AreMendedAndOthersKept) {
  const std::string body = Ask("GET", kJobPath + "/exceptions").body;
  EXPECT_TRUE(IsValidUtf8(body));
  EXPECT_THAT(body, HasSubstr("before \xEF\xBF\xBD after"));
}

TEST_F(RestTest, EachRouteAsksForItsRoleAndProbesForNone) {
  std::mutex mutex;  // guards both
  std::vector<std::string> asked, log;
  RestServer::Options options;
  options.log = [&](std::string_view line) {
    std::lock_guard lock(mutex);
    log.emplace_back(line);
  };
  options.authorize = [&](const HttpRequest& head, Role role) -> Status {
    std::lock_guard lock(mutex);
    asked.push_back(head.method + " " + head.path + " " + std::string(RoleName(role)));
    if (head.authorization.empty()) return absl::UnauthenticatedError("a token is missing");
    if (head.authorization != "Bearer operator" || role == Role::kSubmit) {
      return absl::PermissionDeniedError("this token may not");
    }
    return absl::OkStatus();
  };
  Start(std::move(options));
  const std::string token = "Authorization: Bearer operator\r\n";
  EXPECT_EQ(Ask("GET", "/healthz").status, 200);
  EXPECT_EQ(Ask("GET", "/readyz").status, 200);
  {
    std::lock_guard lock(mutex);
    EXPECT_THAT(asked, IsEmpty());
  }
  const RawResponse stranger = Ask("GET", "/v1/jobs");
  EXPECT_EQ(stranger.status, 401);
  EXPECT_THAT(stranger.body, HasSubstr("a token is missing"));
  {
    std::lock_guard lock(mutex);
    EXPECT_THAT(log, ElementsAre(AllOf(HasSubstr("127.0.0.1:"), HasSubstr("role read"),
                                       HasSubstr("a token is missing"))));
  }
  EXPECT_EQ(Ask("GET", "/metrics").status, 401);
  EXPECT_EQ(Ask("GET", "/v1/nothing").status, 401);
  EXPECT_EQ(Ask("GET", "/v1/openapi.json").status, 401);
  EXPECT_EQ(Ask("GET", "/v1/jobs", "", token).status, 200);
  EXPECT_EQ(Ask("DELETE", kJobPath, "", token).status, 200);
  EXPECT_EQ(Ask("POST", kJobPath + "/stop", "", token).status, 202);
  EXPECT_EQ(Ask("POST", "/v1/jobs", "{}", token).status, 403);
  EXPECT_EQ(Ask("PUT", "/v1/blobs/" + Sha256Hex("x"), "x", token).status, 403);
  std::lock_guard lock(mutex);
  EXPECT_THAT(asked, Contains("DELETE " + kJobPath + " operate"));
  EXPECT_THAT(asked, Contains("POST /v1/jobs submit"));
  EXPECT_THAT(asked, Contains("GET /metrics read"));
  EXPECT_THAT(cluster_.calls(), Not(Contains("SubmitJob")));
}

TEST_F(RestTest, WithoutTokensAStrangersPageInABrowserCanDoNothing) {
  EXPECT_EQ(Ask("POST", kJobPath + "/stop", "", "Origin: http://evil.example\r\n").status, 403);
  EXPECT_EQ(Ask("POST", kJobPath + "/stop", "", "Origin: null\r\n").status, 403);
  // Its own name, made to resolve to this machine.
  RawHttp rebound(server_->address());
  rebound.Send("GET /v1/jobs HTTP/1.1\r\nHost: evil.example:8081\r\n\r\n");
  EXPECT_EQ(rebound.Read().value_or(RawResponse()).status, 403);
  EXPECT_THAT(cluster_.calls(), IsEmpty());
  EXPECT_EQ(Ask("GET", "/v1/jobs", "", "Origin: http://127.0.0.1\r\n").status, 200);
  for (const char* host : {"localhost", "localhost:8081", "[::1]:8081", "[::1]", "127.0.0.1:1"}) {
    RawHttp own(server_->address());
    own.Send(fmt::format("GET /v1/jobs HTTP/1.1\r\nHost: {}\r\n\r\n", host));
    EXPECT_EQ(own.Read().value_or(RawResponse()).status, 200) << host;
  }
}

TEST_F(RestTest, DamagedRequestsAreAnsweredOrRefusedAndNothingElseSuffers) {
  const std::vector<std::string> good = {
      testing::Request("GET", kJobPath),
      testing::Request("POST", kJobPath + "/stop", R"({"drain":true})"),
      testing::Request("POST", "/v1/jobs",
                       R"({"parameters":{"a":"b"},"resources":[{"name":"n"}]})"),
      testing::Request("PUT", "/v1/blobs/" + Sha256Hex("x"), "x", "Expect: 100-continue\r\n"),
      "PUT /v1/jobs/a/parallelism HTTP/1.1\r\nTransfer-Encoding: "
      "chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"};
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::string request = good[random() % good.size()] + good[random() % good.size()];
    for (size_t change = random() % 4 + 1; change > 0; --change) {
      const size_t at = random() % request.size();
      switch (random() % 3) {
        case 0:
          request[at] = static_cast<char>(random());
          break;
        case 1:
          request.erase(at, random() % 8);
          break;
        default:
          request.insert(at, request.substr(random() % request.size(), random() % 8));
      }
    }
    RawHttp http(server_->address());
    http.Send(request);
    http.EndSending();
    while (const std::optional<RawResponse> response = http.Read()) {
      ASSERT_TRUE(response->status >= 100 && response->status < 500) << request;
    }
  }
  EXPECT_EQ(Ask("GET", kJobPath).status, 200);
}

TEST_F(RestTest, AnswersThatComeAfterTheServerHasEndedGoNowhere) {
  cluster_.Hold(true);
  RawHttp http(server_->address());
  http.Send(testing::Request("GET", "/v1/jobs"));
  while (cluster_.calls().empty()) std::this_thread::yield();
  server_.reset();
  cluster_.Hold(false);
  EXPECT_TRUE(http.AtEnd());
}

TEST_F(RestTest, AWorkerTellsOfItselfAndNothingElse) {
  Status ready = absl::UnavailableError("it is leaving");
  RestServer::WorkerStatus worker;
  worker.ready = [&] { return ready; };
  worker.snapshot = [] {
    rest::Snapshot snapshot;
    rest::Job& job = *snapshot.add_jobs();
    job.set_id("a-1");
    job.set_name("a");
    return snapshot;
  };
  auto server = RestServer::StartOnWorker(network_, {"127.0.0.1", 0}, worker, {});
  ASSERT_TRUE(server.ok()) << server.status();
  const Address address = (*server)->address();
  EXPECT_EQ(testing::Ask(address, "GET", "/healthz").status, 200);
  EXPECT_EQ(testing::Ask(address, "GET", "/readyz").status, 503);
  EXPECT_THAT(testing::Ask(address, "GET", "/metrics").body, HasSubstr("job_name=\"a\""));
  EXPECT_EQ(testing::Ask(address, "GET", "/v1/jobs").status, 404);
  EXPECT_EQ(testing::Ask(address, "GET", "/v1/openapi.json").status, 404);
}

}  // namespace
}  // namespace weir
