#include "state/tenant_counts.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"
#include "core/hash.h"
#include "core/limits.h"
#include "weir/state/manifest.pb.h"

namespace weir {
namespace {

void AddTo(std::vector<uint64_t>& sums, std::span<const uint64_t> counts) {
  if (sums.size() < counts.size()) sums.resize(counts.size());
  for (size_t i = 0; i < counts.size(); ++i) sums[i] += counts[i];
}

uint64_t Sum(const std::vector<uint64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}

}  // namespace

void TenantCounts::SetKinds(std::vector<std::string> kinds) {
  WEIR_CHECK(empty());
  kinds_ = std::move(kinds);
}

void TenantCounts::Add(std::string_view tenant, std::span<const uint64_t> counts) {
  WEIR_CHECK(counts.size() == kinds_.size());
  if (tenant.size() > limits::kReportTenantBytesMax) return AddToOthers(counts);
  // Once there are as many as may be, a name that comes behind all of them never gets in.
  std::pair<uint64_t, std::string> key(Hash64(tenant), tenant);
  if (tenants_.size() == limits::kReportTenantsMax && key > tenants_.rbegin()->first) {
    return AddToOthers(counts);
  }
  AddTo(tenants_[std::move(key)], counts);
  if (tenants_.size() <= limits::kReportTenantsMax) return;
  AddToOthers(tenants_.rbegin()->second);
  tenants_.erase(std::prev(tenants_.end()));
}

void TenantCounts::AddToOthers(std::span<const uint64_t> counts) { AddTo(others_, counts); }

TenantCounts& TenantCounts::operator+=(const TenantCounts& other) {
  if (other.empty()) return *this;
  // Kinds are few; another version of the stage may have had others.
  std::vector<size_t> place;
  for (const std::string& kind : other.kinds_) {
    const auto at = std::find(kinds_.begin(), kinds_.end(), kind);
    place.push_back(at - kinds_.begin());
    if (at == kinds_.end()) kinds_.push_back(kind);
  }
  std::vector<uint64_t> counts;
  auto placed = [&](const std::vector<uint64_t>& from) -> const std::vector<uint64_t>& {
    counts.assign(kinds_.size(), 0);
    for (size_t i = 0; i < from.size(); ++i) counts[place[i]] += from[i];
    return counts;
  };
  for (auto& [key, sums] : tenants_) sums.resize(kinds_.size());
  for (const auto& [key, from] : other.tenants_) Add(key.second, placed(from));
  if (!other.others_.empty()) AddToOthers(placed(other.others_));
  return *this;
}

std::vector<TenantCounts::Tenant> TenantCounts::Sorted() const {
  std::vector<Tenant> sorted;
  for (const auto& [key, counts] : tenants_) sorted.push_back({key.second, counts});
  std::sort(sorted.begin(), sorted.end(), [](const Tenant& a, const Tenant& b) {
    return std::pair(Sum(b.counts), std::string_view(a.name)) <
           std::pair(Sum(a.counts), std::string_view(b.name));
  });
  return sorted;
}

void TenantCounts::Write(state::TenantCounts& out) const {
  for (const std::string& kind : kinds_) out.add_kinds(kind);
  for (const auto& [key, counts] : tenants_) {
    state::Tenant& tenant = *out.add_tenants();
    tenant.set_name(key.second);
    tenant.mutable_counts()->Add(counts.begin(), counts.end());
  }
  out.mutable_others()->Add(others_.begin(), others_.end());
}

TenantCounts TenantCounts::Read(const state::TenantCounts& in) {
  TenantCounts read;
  read.kinds_.assign(in.kinds().begin(), in.kinds().end());
  // The bytes may be anybody's: a count too few is 0, one too many is none.
  auto counts = [&](const auto& from) {
    std::vector<uint64_t> result(from.begin(), from.end());
    result.resize(read.kinds_.size());
    return result;
  };
  for (const state::Tenant& tenant : in.tenants()) {
    read.Add(tenant.name(), counts(tenant.counts()));
  }
  if (!in.others().empty()) read.AddToOthers(counts(in.others()));
  return read;
}

}  // namespace weir
