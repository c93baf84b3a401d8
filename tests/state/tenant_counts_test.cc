#include "state/tenant_counts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "core/limits.h"
#include "weir/state/manifest.pb.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TenantCounts WithKinds(std::vector<std::string> kinds = {"good", "bad"}) {
  TenantCounts counts;
  counts.SetKinds(std::move(kinds));
  return counts;
}

void Add(TenantCounts& to, std::string_view tenant, std::vector<uint64_t> counts) {
  to.Add(tenant, counts);
}

TenantCounts ThroughBytes(const TenantCounts& counts) {
  state::TenantCounts proto;
  counts.Write(proto);
  state::TenantCounts parsed;
  EXPECT_TRUE(parsed.ParseFromString(proto.SerializeAsString()));
  return TenantCounts::Read(parsed);
}

TEST(TenantCountsTest, SumsByNameTheBusiestFirst) {
  TenantCounts counts = WithKinds();
  Add(counts, "b", {1, 0});
  Add(counts, "a", {1, 0});
  Add(counts, "c", {2, 3});
  Add(counts, "b", {0, 0});
  const auto sorted = counts.Sorted();
  ASSERT_EQ(sorted.size(), 3u);
  EXPECT_EQ(sorted[0].name, "c");
  EXPECT_THAT(sorted[0].counts, ElementsAre(2, 3));
  EXPECT_EQ(sorted[1].name, "a");
  EXPECT_EQ(sorted[2].name, "b");
  EXPECT_THAT(counts.others(), IsEmpty());
  EXPECT_EQ(ThroughBytes(counts), counts);
}

// However rows are spread over instances, attempts and checkpoints, and in whatever order they are
// summed, each tenant that is named has all of its counts, and nothing is lost.
TEST(TenantCountsTest, BeyondTheLimitEverySumIsStillExactHoweverItIsMade) {
  const size_t tenants = limits::kReportTenantsMax * 2;
  std::mt19937 random(5);
  TenantCounts whole = WithKinds();
  std::vector<TenantCounts> parts(7, WithKinds());
  std::map<std::string, uint64_t> wanted;
  for (int i = 0; i < 20'000; ++i) {
    const std::string name = "tenant-" + std::to_string(random() % tenants);
    ++wanted[name];
    Add(whole, name, {1, i % 2u});
    Add(parts[random() % parts.size()], name, {1, i % 2u});
  }
  std::shuffle(parts.begin(), parts.end(), random);
  TenantCounts sum;
  for (const TenantCounts& part : parts) sum += ThroughBytes(part);
  EXPECT_EQ(sum, whole);
  const auto sorted = sum.Sorted();
  EXPECT_EQ(sorted.size(), limits::kReportTenantsMax);
  uint64_t total = sum.others()[0];
  for (const auto& tenant : sorted) {
    EXPECT_EQ(tenant.counts[0], wanted[tenant.name]);
    total += tenant.counts[0];
  }
  EXPECT_EQ(total, 20'000u);
}

TEST(TenantCountsTest, AHugeNameIsNotKept) {
  TenantCounts counts = WithKinds();
  Add(counts, std::string(limits::kReportTenantBytesMax + 1, 'x'), {1, 2});
  Add(counts, std::string(limits::kReportTenantBytesMax, 'x'), {3, 4});
  EXPECT_EQ(counts.Sorted().size(), 1u);
  EXPECT_THAT(counts.others(), ElementsAre(1, 2));
}

TEST(TenantCountsTest, AnotherVersionMayCountOtherThings) {
  TenantCounts counts = WithKinds({"good", "bad"});
  Add(counts, "a", {1, 2});
  TenantCounts later = WithKinds({"bad", "ugly"});
  Add(later, "a", {10, 20});
  later.AddToOthers(std::vector<uint64_t>{5, 6});
  counts += later;
  EXPECT_THAT(counts.kinds(), ElementsAre("good", "bad", "ugly"));
  EXPECT_THAT(counts.Sorted()[0].counts, ElementsAre(1, 12, 20));
  EXPECT_THAT(counts.others(), ElementsAre(0, 5, 6));
}

TEST(TenantCountsTest, BytesOfAnyKindAreRead) {
  state::TenantCounts proto;
  proto.add_kinds("good");
  proto.add_tenants()->set_name("none");
  state::Tenant& many = *proto.add_tenants();
  many.set_name("many");
  for (int i = 0; i < 5; ++i) many.add_counts(7);
  proto.add_others(1);
  proto.add_others(2);
  const TenantCounts counts = TenantCounts::Read(proto);
  const auto sorted = counts.Sorted();
  ASSERT_EQ(sorted.size(), 2u);
  EXPECT_THAT(sorted[0].counts, ElementsAre(7));
  EXPECT_THAT(sorted[1].counts, ElementsAre(0));
  EXPECT_THAT(counts.others(), ElementsAre(1));
}

}  // namespace
}  // namespace weir
