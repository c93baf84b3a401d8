// The OpenAPI document against the server that gives it: every operation in it is there and answers
// its example as it says, and nothing is there that is not in it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core/json.h"
#include "runtime/rest/rest_server.h"
#include "runtime/rest/routes.h"
#include "tests/support/fake_cluster.h"
#include "tests/support/raw_http.h"

namespace weir {
namespace {

using testing::FakeCluster;
using testing::RawResponse;

struct Operation {
  std::string method, path, example_path, body;
  JsonValue description;
};

std::string Text(const std::optional<JsonValue>& value) {
  return value ? std::string(value->GetString().value_or("")) : "";
}

class OpenApiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = RestServer::Start(network_, {"127.0.0.1", 0}, cluster_, {});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    rest::SavepointOperation savepoint;
    savepoint.set_id("sav-9");
    cluster_.Change(savepoint);
    const RawResponse response = Ask("GET", "/v1/openapi.json");
    ASSERT_EQ(response.status, 200);
    EXPECT_EQ(Ask("GET", "/openapi.json").body, response.body);
    StatusOr<JsonValue> document = parser_.ParseUnpadded(response.body);
    ASSERT_TRUE(document.ok()) << document.status();
    document_ = *document;
    document_.Find("paths")->ForEachMember([&](std::string_view path, const JsonValue& methods) {
      methods.ForEachMember([&](std::string_view method, const JsonValue& description) {
        operations_.push_back(Read(std::string(path), std::string(method), description));
      });
    });
  }

  static Operation Read(std::string path, std::string method, const JsonValue& description) {
    for (char& c : method) c = static_cast<char>(c - 'a' + 'A');
    Operation operation{method, path, path, "", description};
    description.Find("parameters")->ForEachElement([&](const JsonValue& parameter) {
      const std::string place = "{" + Text(parameter.Find("name")) + "}";
      const size_t at = operation.example_path.find(place);
      ASSERT_NE(at, std::string::npos) << path << " has no " << place;
      operation.example_path.replace(at, place.size(), Text(parameter.Find("example")));
    });
    EXPECT_EQ(operation.example_path.find('{'), std::string::npos) << path;
    if (const auto body = description.Find("requestBody")) {
      body->Find("content")->ForEachMember([&](std::string_view, const JsonValue& content) {
        operation.body = Text(content.Find("example"));
      });
    }
    return operation;
  }

  RawResponse Ask(std::string_view method, std::string_view path, std::string_view body = "") {
    return testing::Ask(server_->address(), method, path, body);
  }

  // Every member has its place in the schema, and of each message all members are there that JSON
  // always has.
  void ExpectFits(const JsonValue& value, JsonValue schema, const std::string& where) {
    if (const std::string reference = Text(schema.Find("$ref")); !reference.empty()) {
      const std::string name = reference.substr(reference.rfind('/') + 1);
      const auto named = document_.FindPath("components.schemas")->Find(name);
      ASSERT_TRUE(named) << reference;
      schema = *named;
    }
    const std::string type = Text(schema.Find("type"));
    const auto is_a = [&](bool fits) { EXPECT_TRUE(fits) << where << " is no " << type; };
    if (type == "string") return is_a(value.GetString().has_value());
    if (type == "boolean") return is_a(value.GetBool().has_value());
    if (type == "number") return is_a(value.GetDouble().has_value());
    if (type == "integer") return is_a(value.GetUint().has_value());
    if (type == "array") {
      ASSERT_EQ(value.kind(), JsonValue::Kind::kArray) << where;
      value.ForEachElement([&](const JsonValue& element) {
        ExpectFits(element, *schema.Find("items"), where + "[]");
      });
      return;
    }
    ASSERT_EQ(type, "object") << where;
    const auto properties = schema.Find("properties");
    value.ForEachMember([&](std::string_view name, const JsonValue& member) {
      const auto property =
          properties ? properties->Find(name) : schema.Find("additionalProperties");
      ASSERT_TRUE(property) << where << "." << name << " is not in the document";
      ExpectFits(member, *property, where + "." + std::string(name));
    });
    if (!properties) return;
    properties->ForEachMember([&](std::string_view name, const JsonValue& property) {
      const bool message = property.Find("$ref").has_value();
      EXPECT_TRUE(message || value.Find(name)) << where << "." << name << " is missing";
    });
  }

  FakeCluster cluster_;
  NetworkThread network_;
  std::unique_ptr<RestServer> server_;
  JsonParser parser_;
  JsonValue document_;
  std::vector<Operation> operations_;
};

TEST_F(OpenApiTest, EveryOperationAnswersItsExampleAsItSays) {
  const PathParameter& sha256 = PathParameterNamed("sha256");
  ASSERT_EQ(Ask("PUT", "/v1/blobs/" + sha256.example, "weir\n").status, 200);
  ASSERT_GE(operations_.size(), 20u);
  for (const Operation& operation : operations_) {
    const std::string where = operation.method + " " + operation.path;
    SCOPED_TRACE(where);
    const RawResponse response = Ask(operation.method, operation.example_path, operation.body);
    const auto said =
        operation.description.Find("responses")->Find(std::to_string(response.status));
    ASSERT_TRUE(said) << response.status << " " << response.body;
    said->Find("content")->ForEachMember([&](std::string_view type, const JsonValue& content) {
      EXPECT_THAT(response.head,
                  ::testing::HasSubstr("Content-Type: " + std::string(type) + "\r\n"));
      if (Text(content.FindPath("schema")->Find("type")) == "string") return;
      JsonParser parser;
      const StatusOr<JsonValue> json = parser.ParseUnpadded(response.body);
      ASSERT_TRUE(json.ok()) << response.body;
      ExpectFits(*json, *content.Find("schema"), where);
    });
  }
}

TEST_F(OpenApiTest, TheTableOfRoutesAndTheDocumentAreTheSame) {
  std::vector<RestRoute> routes = ClusterRoutes(cluster_);
  for (RestRoute& route : ProbeRoutes({}, {})) routes.push_back(std::move(route));
  std::set<std::string> told;
  for (const Operation& operation : operations_) {
    EXPECT_TRUE(told.insert(operation.method + " " + operation.path).second);
  }
  told.erase("GET /v1/openapi.json");
  told.erase("GET /openapi.json");
  std::set<std::string> there;
  for (const RestRoute& route : routes) there.insert(route.method + " " + route.path);
  EXPECT_EQ(told, there);
}

TEST_F(OpenApiTest, NoOtherMethodIsThere) {
  std::set<std::pair<std::string, std::string>> told;
  for (const Operation& operation : operations_) {
    told.insert({operation.method, operation.path});
  }
  for (const Operation& operation : operations_) {
    for (const char* method : {"GET", "PUT", "POST", "DELETE", "PATCH"}) {
      if (told.count({method, operation.path})) continue;
      EXPECT_EQ(Ask(method, operation.example_path).status, 405) << method << operation.path;
    }
  }
}

TEST_F(OpenApiTest, WhatTakesARoleSaysSo) {
  for (const Operation& operation : operations_) {
    const size_t schemes = operation.description.Find("security")->size();
    const bool probe = operation.path == "/healthz" || operation.path == "/readyz";
    EXPECT_EQ(schemes, probe ? 0u : 1u) << operation.path;
    if (probe) continue;
    std::string role = "read";
    if (operation.method != "GET") role = "operate";
    if (operation.path == "/v1/jobs" && operation.method == "POST") role = "submit";
    if (operation.path.starts_with("/v1/blobs")) role = "submit";
    if (operation.path.ends_with("/submission") || operation.path.ends_with("/leases")) {
      role = "submit";
    }
    EXPECT_EQ(Text(operation.description.Find("security")->At(0).Find("token")->At(0)), role)
        << operation.method << " " << operation.path;
  }
}

}  // namespace
}  // namespace weir
