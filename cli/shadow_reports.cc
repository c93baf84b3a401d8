#include "cli/shadow_reports.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "core/time.h"
#include "runtime/secrets_in_text.h"
#include "shadow/report_html.h"
#include "shadow/report_json.h"
#include "shadow/results.h"
#include "shadow/verdict.h"

namespace weir::cli {
namespace {

constexpr auto kLookInterval = std::chrono::seconds(5);

std::vector<shadow::RunFact> FactsOf(const ShadowSubject& subject) {
  const shadow::JobVersion& a = subject.baseline;
  const shadow::JobVersion& c = subject.candidate;
  std::vector<shadow::RunFact> facts;
  const auto add = [&facts](std::string name, std::string one, std::string other) {
    if (one == other) other.clear();
    facts.push_back({std::move(name), std::move(one), std::move(other)});
  };
  add("library", a.library_path, c.library_path);
  add("SHA-256", a.library_sha256, c.library_sha256);
  if (!subject.checkpoint.empty()) add("checkpoint", subject.checkpoint, subject.checkpoint);
  std::map<std::string, std::pair<std::string, std::string>> both;
  const auto shown = [](const std::string& name, const std::string& value) {
    return IsSecretName(name) ? "***" : HideSecrets(value);
  };
  for (const auto& [name, value] : a.parameters) {
    both["parameter " + name].first = shown(name, value);
  }
  for (const auto& [name, value] : c.parameters) {
    both["parameter " + name].second = shown(name, value);
  }
  for (const auto& [name, sha256] : a.resources) both["file " + name].first = sha256;
  for (const auto& [name, sha256] : c.resources) both["file " + name].second = sha256;
  for (const auto& [name, values] : both) {
    add(name, values.first.empty() ? "(none)" : values.first,
        values.second.empty() ? "(none)" : values.second);
  }
  return facts;
}

shadow::ShadowReport ReportOn(const ShadowSubject& subject, shadow::ShadowResult found) {
  shadow::DeclareOutputs(subject.baseline, subject.candidate, found);
  found.Finish(*subject.parsed_rules);
  shadow::ShadowReport report;
  report.job = subject.baseline.graph.job;
  report.verdict = shadow::Judge(found, *subject.parsed_rules);
  report.facts = FactsOf(subject);
  report.rules = subject.rules;
  report.command = subject.command;
  return report;
}

std::string Standing(const shadow::Verdict& verdict) {
  std::string text =
      fmt::format("so far: {} records compared, ", shadow::Grouped(verdict.compared));
  if (verdict.outcome != shadow::Outcome::kFail) return text + "nothing that is a FAIL";
  text += fmt::format("FAIL: {}", verdict.reasons.front());
  if (verdict.reasons.size() > 1) text += fmt::format(", and {} more", verdict.reasons.size() - 1);
  return text;
}

}  // namespace

std::string CommandText(const std::vector<std::string>& words) {
  std::string text;
  for (std::string word : words) {
    // name=value, or --param=name=value.
    for (size_t equals = word.find('='); equals != std::string::npos;
         equals = word.find('=', equals + 1)) {
      if (!IsSecretName(word.substr(0, equals))) continue;
      word = word.substr(0, equals) + "=***";
      break;
    }
    const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) {
      return isalnum(c) ||
             std::string_view("-_./:=,@%+").find(static_cast<char>(c)) != std::string_view::npos;
    });
    if (!text.empty()) text += ' ';
    if (plain) {
      text += word;
      continue;
    }
    text += '\'';
    for (const char c : word) c == '\'' ? text += "'\\''" : text += c;
    text += '\'';
  }
  return HideSecrets(text);
}

StatusOr<shadow::ShadowReport> FinalReport(const ShadowSubject& subject) {
  shadow::ShadowResult found;
  std::set<std::string> read;
  WEIR_RETURN_IF_ERROR(shadow::ReadResults(RealEnvironment(), subject.results, read, found));
  return ReportOn(subject, std::move(found));
}

Status WriteReports(shadow::ShadowReport& report, ObjectStore& folder) {
  report.written_at = FormatTimestamp(RealEnvironment().clock.Now());
  WEIR_RETURN_IF_ERROR(folder.Put("report.json", ReportJson(report)));
  return folder.Put("report.html", ReportHtml(report));
}

LiveReports::LiveReports(const ShadowSubject& subject, ObjectStore& folder, Log& log)
    : subject_(subject), folder_(folder), log_(log), thread_([this] { Run(); }) {}

LiveReports::~LiveReports() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  ends_.notify_all();
  thread_.join();
}

void LiveReports::Run() {
  std::set<std::string> read;
  shadow::ShadowResult found;
  std::unique_lock lock(mutex_);
  while (!ends_.wait_for(lock, kLookInterval, [this] { return ending_; })) {
    lock.unlock();
    const size_t before = read.size();
    const Status status = shadow::ReadResults(RealEnvironment(), subject_.results, read, found);
    if (!status.ok()) {
      // Nothing is there yet, or an attempt that ended has taken something back.
      read.clear();
      found = {};
    } else if (read.size() > before) {
      shadow::ShadowReport report = ReportOn(subject_, found);
      report.complete = false;
      const Status written = WriteReports(report, folder_);
      log_.Write(written.ok() ? Standing(report.verdict)
                              : "the report so far: " + std::string(written.message()));
    }
    lock.lock();
  }
}

}  // namespace weir::cli
