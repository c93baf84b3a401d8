#include "shadow/report_json.h"

#include "core/codec.h"
#include "core/json.h"

namespace weir::shadow {
namespace {

class Writer {
 public:
  explicit Writer(const ShadowReport& report) : report_(report) {}

  std::string Run() {
    const Verdict& verdict = report_.verdict;
    json_.StartObject();
    Text("verdict", NameOf(verdict.outcome));
    Flag("complete", report_.complete);
    Texts("reasons", verdict.reasons);
    Texts("notes", verdict.notes);
    Number("compared", verdict.compared);
    json_.Key("outputs");
    json_.StartArray();
    for (const OutputVerdict& output : verdict.outputs) Output(output);
    json_.EndArray();
    Performance();
    WhatRan();
    json_.EndObject();
    return std::string(json_.text());
  }

 private:
  void Text(std::string_view name, std::string_view value) {
    json_.Key(name);
    json_.String(value);
  }
  void Number(std::string_view name, uint64_t value) {
    json_.Key(name);
    json_.Uint(value);
  }
  void Real(std::string_view name, double value) {
    json_.Key(name);
    json_.Double(value);
  }
  void Flag(std::string_view name, bool value) {
    json_.Key(name);
    json_.Bool(value);
  }
  void Texts(std::string_view name, const std::vector<std::string>& values) {
    json_.Key(name);
    Codec<std::vector<std::string>>::WriteJson(values, json_);
  }

  void Output(const OutputVerdict& output) {
    const OutputStatistics& found = output.statistics;
    json_.StartObject();
    Text("name", output.name);
    Text("verdict", NameOf(output.outcome));
    Texts("reasons", output.reasons);
    Number("compared", found.baseline_records);
    Number("matched", found.candidate.matched);
    Number("mismatched", found.candidate.mismatched);
    Number("missing", found.candidate.missing);
    Number("extra", found.candidate.extra);
    Number("known", found.candidate.known);
    Number("reordered", found.candidate.reordered);
    Number("unpaired", found.unpaired);
    json_.Key("noise");
    Codec<Comparison>::WriteJson(found.again, json_);
    json_.Key("fields");
    json_.StartArray();
    for (const FieldVerdict& field : output.fields) Field(field);
    json_.EndArray();
    json_.Key("samples");
    json_.StartArray();
    for (const RecordSample& sample : found.samples) {
      json_.StartObject();
      Text("kind", sample.kind);
      Text("key", sample.key);
      Text("baseline", sample.baseline);
      Text("candidate", sample.candidate);
      Texts("fields", sample.fields);
      json_.EndObject();
    }
    json_.EndArray();
    json_.EndObject();
  }

  void Field(const FieldVerdict& field) {
    json_.StartObject();
    Text("path", field.path);
    Number("differs", field.differs);
    Number("noise", field.noise);
    Text("finding", NameOf(field.finding));
    Text("change", field.change);
    Number("only_candidate", field.only_candidate);
    Number("only_baseline", field.only_again);
    Real("p", field.p);
    Text("why", field.why);
    Text("known", field.known);
    json_.Key("samples");
    json_.StartArray();
    for (const FieldSample& sample : field.samples) {
      json_.StartObject();
      Text("key", sample.key);
      Text("change", sample.change);
      Text("baseline", sample.baseline);
      Text("candidate", sample.candidate);
      json_.EndObject();
    }
    json_.EndArray();
    json_.EndObject();
  }

  void Version(std::string_view name, std::vector<double> CostMeasure::*runs) {
    json_.Key(name);
    json_.StartObject();
    for (const CostMeasure& measure : report_.cost) {
      const CostSpread spread = SpreadOf(measure.*runs);
      json_.Key(measure.name);
      json_.StartObject();
      Real("median", spread.median);
      Real("min", spread.min);
      Real("max", spread.max);
      Number("runs", spread.runs);
      json_.EndObject();
    }
    json_.EndObject();
  }

  void Performance() {
    json_.Key("performance");
    json_.StartObject();
    Version("baseline", &CostMeasure::baseline);
    Version("candidate", &CostMeasure::candidate);
    json_.Key("differences");
    json_.StartArray();
    for (const CostMeasure& measure : report_.cost) {
      json_.StartObject();
      Text("name", measure.name);
      Text("unit", measure.unit);
      Real("change", ChangeOf(measure));
      Flag("more_than_noise", IsMoreThanNoise(measure));
      json_.EndObject();
    }
    json_.EndArray();
    json_.EndObject();
  }

  void WhatRan() {
    json_.Key("run");
    json_.StartObject();
    Text("job", report_.job);
    Text("written_at", report_.written_at);
    Text("command", report_.command);
    json_.Key("facts");
    json_.StartArray();
    for (const RunFact& fact : report_.facts) {
      json_.StartObject();
      Text("name", fact.name);
      Text("baseline", fact.baseline);
      Text("candidate", fact.candidate.empty() ? fact.baseline : fact.candidate);
      json_.EndObject();
    }
    json_.EndArray();
    Text("rules", report_.rules);
    json_.EndObject();
  }

  const ShadowReport& report_;
  JsonWriter json_;
};

}  // namespace

std::string ReportJson(const ShadowReport& report) { return Writer(report).Run(); }

}  // namespace weir::shadow
