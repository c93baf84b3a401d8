// TenantCounts: what a stage counted for each tenant ("unique", "duplicates"), for the report. A
// plain value that can be summed over subtasks, attempts and checkpoints.
//
// Bounded: at most limits::kReportTenantsMax tenants are named, the rest is summed up without a
// name, so that no tenant can be mistaken for it. Which ones are named follows from the names alone
// (those with the lowest hashes), never from who came first. So every sum is exact, in whatever
// order it was made: a tenant is named with all that was counted for it, or is part of the rest
// with all of it. Names longer than limits::kReportTenantBytesMax are part of the rest.
//
// Tenants are users' data: they are shown in reports, and are never a label of a metric.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir {

namespace state {
class TenantCounts;  // weir/state/manifest.proto
}

class TenantCounts {
 public:
  // What is counted, in this order. Once, before anything is.
  void SetKinds(std::vector<std::string> kinds);
  // REQUIRES: a count for each kind.
  void Add(std::string_view tenant, std::span<const uint64_t> counts);
  void AddToOthers(std::span<const uint64_t> counts);

  TenantCounts& operator+=(const TenantCounts& other);
  bool operator==(const TenantCounts&) const = default;

  // True if nothing was counted for anyone.
  bool empty() const { return tenants_.empty() && others_.empty(); }
  const std::vector<std::string>& kinds() const { return kinds_; }
  // Counts beside kinds(), the tenant with the highest sum first; equal ones by name.
  struct Tenant {
    std::string name;
    std::vector<uint64_t> counts;
  };
  std::vector<Tenant> Sorted() const;
  // Empty: every tenant is named.
  const std::vector<uint64_t>& others() const { return others_; }

  void Write(state::TenantCounts& out) const;
  static TenantCounts Read(const state::TenantCounts& in);

 private:
  std::vector<std::string> kinds_;
  // By the hash of the name, and the name.
  std::map<std::pair<uint64_t, std::string>, std::vector<uint64_t>, std::less<>> tenants_;
  std::vector<uint64_t> others_;
};

}  // namespace weir
