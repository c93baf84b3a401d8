// Who may listen where, and what tokens allow.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "jobs/parameters.h"
#include "runtime/limits.h"
#include "runtime/security/security_options.h"
#include "runtime/security/token_authority.h"
#include "testing/temp_dir.h"
#include "tests/support/test_ca.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

SecurityOptions AllFlags() { return {{"c.pem", "c.key", "ca.pem"}, "tokens.yaml"}; }

TEST(CheckListenAddressTest, LoopbackNeedsNothing) {
  for (const char* host : {"127.0.0.1", "127.3.2.1", "::1", "localhost", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(CheckListenAddress("--listen", {host, 1}, {}).ok()) << host;
  }
}

TEST(CheckListenAddressTest, AnyOtherAddressSaysWhichFlagsAreMissing) {
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "fe80::1", "weir.example", "",
                           "::ffff:10.0.0.1", "localhost.example", "127.0.0.1.example"}) {
    const Status status = CheckListenAddress("--rpc-listen", {host, 6123}, {});
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << host;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("--rpc-listen " + Address{host, 6123}.ToString()),
                      HasSubstr("Missing: --tls-cert --tls-key --tls-ca --token-file")));
    EXPECT_TRUE(CheckListenAddress("--listen", {host, 1}, AllFlags()).ok());
  }
  SecurityOptions options = AllFlags();
  options.token_file.clear();
  EXPECT_THAT(CheckListenAddress("--listen", {"0.0.0.0", 1}, options).ToString(),
              AllOf(HasSubstr("Missing: --token-file."), Not(HasSubstr("--tls"))));
  options = AllFlags();
  options.tls.key.clear();
  EXPECT_THAT(CheckListenAddress("--listen", {"0.0.0.0", 1}, options).ToString(),
              HasSubstr("Missing: --tls-key."));
}

TEST(LoadMemberTlsTest, AllThreeFilesOrNone) {
  testing::TempDir folder;
  testing::TestCa ca(folder.path(), "ca");
  SecurityOptions options;
  EXPECT_EQ(LoadMemberTls(options).value(), nullptr);
  options.tls = ca.Issue("member");
  EXPECT_NE(LoadMemberTls(options).value(), nullptr);
  options.tls.cert.clear();
  options.tls.key.clear();
  EXPECT_THAT(LoadMemberTls(options).status().ToString(),
              AllOf(HasSubstr("INVALID_ARGUMENT"), HasSubstr("missing: --tls-cert --tls-key")));
}

constexpr char kReader[] = "reader-token-0123456789";
constexpr char kOperator[] = "operator-token-0123456789";
constexpr char kSubmitter[] = "submitter-token-0123456789";
constexpr char kWorker[] = "worker-token-0123456789";

class TokenTest : public ::testing::Test {
 protected:
  // As an administrator does: a new file in the place of the old one.
  void Write(const std::string& content, mode_t mode = 0600) {
    std::ofstream(path_ + ".new") << content;
    ASSERT_EQ(chmod((path_ + ".new").c_str(), mode), 0);
    std::filesystem::rename(path_ + ".new", path_);
  }
  static std::string Entry(const std::string& name, const std::string& role,
                           const std::string& token, const std::string& rest = "") {
    return "  - {name: " + name + ", role: " + role + ", sha256: " + Sha256Hex(token) + rest +
           "}\n";
  }
  static std::string AllRoles() {
    return "tokens:\n" + Entry("ann", "read", kReader) + Entry("bob", "operate", kOperator) +
           Entry("ci", "submit", kSubmitter) +
           "  - name: w1\n    role: worker\n    token: " + kWorker + "\n";
  }
  void Open(const std::string& content) {
    Write(content);
    auto opened =
        TokenAuthority::Open(path_, [this](const std::string& line) { log_.push_back(line); });
    ASSERT_TRUE(opened.ok()) << opened.status();
    tokens_ = *std::move(opened);
  }
  std::string Check(std::string_view token, Role needed) {
    const StatusOr<Principal> principal = tokens_->Check(token, needed, now_);
    return principal.ok() ? principal->name : principal.status().ToString();
  }
  std::string WhyNot(const std::string& content) {
    Write(content);
    return ReadTokenFile(path_).status().ToString();
  }

  testing::TempDir folder_;
  const std::string path_ = folder_.path() + "/tokens.yaml";
  std::unique_ptr<TokenAuthority> tokens_;
  std::vector<std::string> log_;
  Timestamp now_ = *ParseRfc3339("2026-06-01T00:00:00Z");
};

TEST_F(TokenTest, ARoleIncludesThoseBeforeItAndWorkersOnlyJoin) {
  Open(AllRoles());
  const std::pair<const char*, std::vector<Role>> allowed[] = {
      {kReader, {Role::kRead}},
      {kOperator, {Role::kRead, Role::kOperate}},
      {kSubmitter, {Role::kRead, Role::kOperate, Role::kSubmit}},
      {kWorker, {Role::kWorker}},
  };
  for (const auto& [token, roles] : allowed) {
    for (const Role role : {Role::kRead, Role::kOperate, Role::kSubmit, Role::kWorker}) {
      const bool may = std::count(roles.begin(), roles.end(), role) > 0;
      EXPECT_EQ(tokens_->Check(token, role, now_).ok(), may) << token << " " << RoleName(role);
    }
  }
  EXPECT_EQ(Check(kSubmitter, Role::kRead), "ci");
  EXPECT_EQ(Check(kReader, Role::kSubmit),
            "PERMISSION_DENIED: the token of 'ann' has the role read; this needs submit");
}

TEST_F(TokenTest, WhatIsNotKnownIsRefusedWithoutBeingRepeated) {
  Open(AllRoles());
  EXPECT_EQ(Check("", Role::kRead), "UNAUTHENTICATED: a token is needed");
  for (const std::string& token :
       {std::string("guess"), Sha256Hex(kReader), std::string(kReader) + "x",
        std::string(kReader).substr(1), std::string(1 << 20, 'x')}) {
    EXPECT_EQ(Check(token, Role::kRead), "UNAUTHENTICATED: the token is not known");
  }
}

TEST_F(TokenTest, AHeaderHasTheTokenBehindBearer) {
  Open(AllRoles());
  const auto check = [&](const std::string& header) {
    const StatusOr<Principal> principal = tokens_->CheckHeader(header, Role::kRead, now_);
    return principal.ok() ? principal->name : principal.status().ToString();
  };
  EXPECT_EQ(check("Bearer " + std::string(kReader)), "ann");
  EXPECT_EQ(check("bearer " + std::string(kReader)), "ann");
  EXPECT_EQ(check(""), "UNAUTHENTICATED: a token is needed");
  EXPECT_EQ(check("Bearer "), "UNAUTHENTICATED: a token is needed");
  EXPECT_EQ(check("Bearer x" + std::string(kReader)), "UNAUTHENTICATED: the token is not known");
  for (const std::string& header : {std::string(kReader), "Basic " + std::string(kReader)}) {
    EXPECT_THAT(check(header), HasSubstr("Authorization: Bearer"));
  }
}

TEST_F(TokenTest, AnExpiredTokenIsRefusedWithItsTime) {
  Open("tokens:\n" + Entry("ann", "read", kReader, ", expires: 2026-06-01T00:00:10Z"));
  EXPECT_EQ(Check(kReader, Role::kRead), "ann");
  now_ += Seconds(10);
  EXPECT_EQ(Check(kReader, Role::kRead),
            "UNAUTHENTICATED: the token of 'ann' expired on 2026-06-01T00:00:10.000000Z");
}

TEST_F(TokenTest, ARevokedTokenStopsWorkingAndANewOneBegins) {
  Open("tokens:\n" + Entry("ann", "read", kReader));
  EXPECT_EQ(Check(kReader, Role::kRead), "ann");
  Write("tokens:\n" + Entry("bob", "read", kOperator));
  now_ += limits::kTokenFilePollInterval;
  EXPECT_THAT(Check(kReader, Role::kRead), HasSubstr("not known"));
  EXPECT_EQ(Check(kOperator, Role::kRead), "bob");
  EXPECT_EQ(log_, (std::vector<std::string>{"read " + path_ + " again: 1 tokens"}));
  // A wall clock that was set back is no reason not to look.
  Write("tokens:\n" + Entry("ann", "read", kReader));
  now_ -= Hours(1);
  EXPECT_EQ(Check(kReader, Role::kRead), "ann");
}

TEST_F(TokenTest, WhileTheFileIsWrongNobodyComesIn) {
  Open("tokens:\n" + Entry("ann", "read", kReader));
  const auto look = [&] {
    now_ += limits::kTokenFilePollInterval;
    return Check(kReader, Role::kRead);
  };
  Write("tokens: [oops");
  EXPECT_EQ(look(), "UNAVAILABLE: tokens cannot be checked at the moment");
  EXPECT_THAT(log_.back(), HasSubstr("no token is accepted: " + path_ + ":1: this is no YAML"));
  Write("tokens:\n" + Entry("ann", "read", kReader), 0644);
  EXPECT_THAT(look(), HasSubstr("UNAVAILABLE"));
  EXPECT_THAT(log_.back(), HasSubstr("type: chmod 600 " + path_));
  std::filesystem::remove(path_);
  EXPECT_THAT(look(), HasSubstr("UNAVAILABLE"));
  EXPECT_THAT(look(), HasSubstr("UNAVAILABLE"));
  EXPECT_EQ(log_.size(), 3u);
  Write("tokens:\n" + Entry("ann", "read", kReader));
  EXPECT_EQ(look(), "ann");
}

TEST_F(TokenTest, AWrongFileIsToldByLineAndNeverQuoted) {
  const std::string sum = Sha256Hex(kReader);
  const std::pair<std::string, std::string> wrong[] = {
      {kReader, ":1: a file of tokens is a list"},
      {"", ":1: a file of tokens is a list"},
      {"tokens: []", "there is no token"},
      {"tokens:\n  - " + std::string(kReader), ":2: a token has"},
      {"tokens:\n  - {name: ann, role: read}", "wanted is `sha256`, or `token`"},
      {"tokens:\n  - {name: ann, sha256: " + sum + "}", "`name` or `role` is missing"},
      {"tokens:\n  - {name: a, role: admin, sha256: " + sum + "}", "a role is read, operate"},
      {"tokens:\n  - {name: a, role: read, token: " + std::string(kReader, 15) + "}",
       "a token is 16 to 256"},
      {"tokens:\n  - {name: a, role: read, sha256: " + std::string(kReader) + "}",
       "64 hexadecimal"},
      {"tokens:\n  - {name: a, role: read, sha256: " + sum + ", expires: tomorrow}", "a time is"},
      {"tokens:\n  - {name: a, role: read, token: *" + std::string(kReader) + "}",
       "this is no YAML"},
      {"tokens:\n" + Entry("a", "read", kReader) + Entry("a", "read", kOperator),
       ":3: the name is there already"},
      {"tokens:\n" + Entry("a", "read", kReader) + Entry("b", "read", kReader),
       ":3: another name has the same token"},
      {"tokens:\n  - {name: a, role: read, sha256: " + sum + ", until: 2027}", "and `expires`"},
  };
  for (const auto& [content, why] : wrong) {
    EXPECT_THAT(WhyNot(content), AllOf(HasSubstr("INVALID_ARGUMENT: " + path_), HasSubstr(why),
                                       Not(HasSubstr(kReader))));
  }
}

TEST_F(TokenTest, WhoPresentsATokenReadsItFromALineOrFromTheOneEntryThatHasIt) {
  Write(std::string(kReader) + "\n");
  EXPECT_EQ(ReadToken(path_).value(), kReader);
  Write(AllRoles());
  EXPECT_EQ(ReadToken(path_).value(), kWorker);
  const auto why = [&](const std::string& content) {
    Write(content);
    return ReadToken(path_).status().ToString();
  };
  EXPECT_THAT(why("short\n"), HasSubstr("is not one line with a token"));
  EXPECT_THAT(why(std::string(kReader) + "\n" + kReader), HasSubstr("is not one line"));
  EXPECT_THAT(why("tokens:\n" + Entry("a", "read", kReader)), HasSubstr("nothing to present"));
  EXPECT_THAT(why(AllRoles() + "  - {name: w2, role: worker, token: " + kOperator + "2}\n"),
              HasSubstr("two entries with `token`"));
  Write(kReader, 0644);
  EXPECT_EQ(ReadToken(path_).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace weir
