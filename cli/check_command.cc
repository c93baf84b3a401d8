#include <fmt/format.h>

#include <algorithm>
#include <iostream>

#include "cli/commands.h"
#include "core/json.h"
#include "runtime/checkpoint/checkpoint_fit.h"
#include "runtime/checkpoint/going_back.h"
#include "state/checkpoint_store.h"

namespace weir::cli {
namespace {

void PrintJson(const NamedCheckpoint& checkpoint, const JobGraph& graph, const CheckpointFit& fit,
               bool fits) {
  JsonWriter json;
  json.StartObject();
  const auto text = [&json](std::string_view key, std::string_view value) {
    json.Key(key);
    json.String(value);
  };
  text("checkpoint", checkpoint.location);
  text("checkpoint_job", checkpoint.manifest.job_id);
  text("job", graph.job);
  json.Key("fits");
  json.Bool(fits);
  json.Key("findings");
  json.StartArray();
  for (const FitFinding& finding : fit.findings) {
    json.StartObject();
    text("stage", finding.stage);
    text("state", finding.state);
    text("field", finding.field);
    text("verdict", ToString(finding.verdict));
    text("change", finding.change);
    text("text", finding.text);
    json.EndObject();
  }
  json.EndArray();
  json.EndObject();
  std::cout << json.text() << "\n";
}

void PrintText(const NamedCheckpoint& checkpoint, const JobGraph& graph, const CheckpointFit& fit,
               bool fits) {
  std::cout << fmt::format("checkpoint {} of {}, restored by {}:\n\n",
                           checkpoint.manifest.checkpoint, checkpoint.manifest.job_id, graph.job);
  size_t stage_width = 5;
  size_t state_width = 5;
  for (const FitFinding& finding : fit.findings) {
    stage_width = std::max(stage_width, finding.stage.size());
    state_width = std::max(state_width, finding.state.size());
  }
  std::cout << fmt::format("{:<{}}  {:<{}}  {:<12}  {}\n", "stage", stage_width, "state",
                           state_width, "verdict", "what changes");
  for (const FitFinding& finding : fit.findings) {
    const std::string_view colon = finding.field.empty() ? "" : ": ";
    std::string line =
        fmt::format("{:<{}}  {:<{}}  {:<12}  {}{}{}", finding.stage, stage_width, finding.state,
                    state_width, ToString(finding.verdict), finding.field, colon, finding.text);
    line.resize(line.find_last_not_of(' ') + 1);
    std::cout << line << "\n";
  }
  std::cout << (fits ? "\nIt fits.\n" : "\nIt does not fit.\n");
}

}  // namespace

int Check(const CheckFlags& flags) {
  int exit_code = kDone;
  std::optional<LoadedJob> job = LoadJob(flags.job, exit_code);
  if (!job) return exit_code;

  StatusOr<NamedCheckpoint> checkpoint = OpenCheckpointFolder(RealEnvironment(), flags.checkpoint);
  if (!checkpoint.ok()) {
    return PrintError(Annotate(checkpoint.status(), flags.checkpoint)),
           ExitCodeOf(checkpoint.status());
  }
  const Manifest& manifest = checkpoint->manifest;
  StatusOr<CheckpointFit> fit = FitCheckpoint(manifest, job->built);
  if (!fit.ok()) return PrintError(fit.status()), ExitCodeOf(fit.status());
  Status fits = fit->Check(manifest.checkpoint, flags.drop_state);
  const auto misplaced = FindMisplacedSink(manifest, job->built.graph, flags.drop_state);
  if (misplaced) {
    fit->findings.push_back(
        {FitFinding::Verdict::kRefused, misplaced->stage, "output", "moved", "", misplaced->why});
    fits.Update(absl::FailedPreconditionError(
        fmt::format("{}: keep the place, or start it as a new job", misplaced->why)));
  }
  if (flags.output == "json") {
    PrintJson(*checkpoint, job->built.graph, *fit, fits.ok());
  } else {
    PrintText(*checkpoint, job->built.graph, *fit, fits.ok());
  }
  if (!fits.ok()) PrintError(fits);
  return FinishOutput(fits.ok() ? kDone : ExitCodeOf(fits));
}

}  // namespace weir::cli
