#include "cli/report.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/json.h"

namespace weir::cli {
namespace {

constexpr size_t kTenantsShown = 5;  // in the table

// The rest, which is no tenant, has null for a name.
void WriteTenants(const TenantCounts& tenants, JsonWriter& json) {
  auto counts = [&](const std::vector<uint64_t>& of) {
    for (size_t i = 0; i < of.size(); ++i) {
      json.Key(tenants.kinds()[i]);
      json.Uint(of[i]);
    }
  };
  json.Key("tenants");
  json.StartArray();
  for (const TenantCounts::Tenant& tenant : tenants.Sorted()) {
    json.StartObject();
    json.Key("tenant");
    json.String(tenant.name);
    counts(tenant.counts);
    json.EndObject();
  }
  if (!tenants.others().empty()) {
    json.StartObject();
    json.Key("tenant");
    json.Null();
    counts(tenants.others());
    json.EndObject();
  }
  json.EndArray();
}

std::string TenantLines(const TenantCounts& tenants) {
  std::string text;
  auto line = [&](std::string_view name, const std::vector<uint64_t>& counts) {
    std::string list;
    for (size_t i = 0; i < counts.size(); ++i) {
      list += fmt::format("{}{} {}", i == 0 ? "" : ", ", counts[i], tenants.kinds()[i]);
    }
    text += fmt::format("  {}: {}\n", name, list);
  };
  const std::vector<TenantCounts::Tenant> sorted = tenants.Sorted();
  const size_t shown = std::min(sorted.size(), kTenantsShown);
  for (size_t i = 0; i < shown; ++i) {
    // Quoted, so that no name looks like something else or moves the terminal's cursor.
    JsonWriter name;
    name.String(sorted[i].name);
    line(fmt::format("tenant {}", name.text()), sorted[i].counts);
  }
  if (shown < sorted.size()) {
    text += fmt::format("  and {} more tenants: see -o json\n", sorted.size() - shown);
  }
  if (!tenants.others().empty()) line("all tenants that are not named", tenants.others());
  return text;
}

}  // namespace

std::string ReportJson(const LocalJobResult& result) {
  const JobStatus& status = result.status;
  JsonWriter json;
  json.StartObject();
  json.Key("job");
  json.String(status.job_id);
  json.Key("state");
  json.String(ToString(result.state));
  json.Key("elapsed_s");
  json.Double(result.elapsed_s);
  json.Key("operators");
  json.StartArray();
  for (const OperatorStatus& op : status.operators) {
    json.StartObject();
    json.Key("name");
    json.String(op.name);
    json.Key("kind");
    json.String(op.kind);
    json.Key("component");
    json.String(op.component);
    json.Key("records_in");
    json.Uint(op.completed.records_in);
    json.Key("records_out");
    json.Uint(op.completed.records_out);
    json.Key("records_dropped");
    json.Uint(op.completed.dropped);
    json.Key("dead_letters");
    json.Uint(op.completed.dead_letters);
    json.Key("unusable_times");
    json.Uint(op.completed.unusable_times);
    json.Key("counters");
    json.StartObject();
    for (const auto& [name, count] : op.completed.named) {
      json.Key(name);
      json.Uint(count);
    }
    json.EndObject();
    if (!op.completed.tenants.empty()) WriteTenants(op.completed.tenants, json);
    json.EndObject();
  }
  json.EndArray();
  json.Key("checkpoints");
  json.StartObject();
  json.Key("completed");
  json.Uint(status.checkpoints_completed);
  json.Key("failed");
  json.Uint(status.checkpoints_failed);
  json.Key("last_id");
  json.Uint(status.last_checkpoint);
  json.Key("last_duration_ms");
  json.Double(status.last_checkpoint_micros / 1e3);
  json.Key("restored_from");
  if (status.restored_from) {
    json.Uint(*status.restored_from);
  } else {
    json.Null();
  }
  json.EndObject();
  json.Key("restarts");
  json.Int(status.restarts);
  json.Key("memory");
  json.StartObject();
  json.Key("budget_bytes");
  json.Uint(status.memory_budget_bytes);
  json.Key("resident_bytes_max");
  json.Uint(status.resident_bytes_max);
  json.EndObject();
  if (!status.failure.ok()) {
    json.Key("error");
    json.String(std::string(status.failure.message()));
  }
  json.EndObject();
  return std::string(json.text()) + "\n";
}

std::string ReportTable(const LocalJobResult& result) {
  const JobStatus& status = result.status;
  std::string text =
      fmt::format("{}  {}  {:.1f} s", status.job_id, ToString(result.state), result.elapsed_s);
  if (result.already_finished) text += "  (finished before; nothing was done: --fresh starts over)";
  size_t width = 16;
  for (const OperatorStatus& op : status.operators) width = std::max(width, op.name.size());
  text += fmt::format("\n\n{:<{}} {:<10} {:>12} {:>12} {:>12} {:>12}\n", "operator", width, "kind",
                      "records in", "records out", "dropped", "dead letters");
  for (const OperatorStatus& op : status.operators) {
    text += fmt::format("{:<{}} {:<10} {:>12} {:>12} {:>12} {:>12}\n", op.name, width, op.kind,
                        op.completed.records_in, op.completed.records_out, op.completed.dropped,
                        op.completed.dead_letters);
    if (!op.component.empty()) text += fmt::format("  {}\n", op.component);
    for (const auto& [name, count] : op.completed.named) {
      text += fmt::format("  {:<{}} {:>12}\n", name, width + 9, count);
    }
    text += TenantLines(op.completed.tenants);
  }
  text += fmt::format(
      "\ncheckpoints: {} completed, {} failed, last {}; restarts: {}; memory: {} at "
      "most, of {}\n",
      status.checkpoints_completed, status.checkpoints_failed, status.last_checkpoint,
      status.restarts, FormatSize(status.resident_bytes_max),
      FormatSize(status.memory_budget_bytes));
  return text;
}

}  // namespace weir::cli
