#include "shadow/report_html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/json.h"
#include "core/utf8.h"

namespace weir::shadow {
namespace {

constexpr size_t kShownFields = 100;  // of an output

std::string Tag(std::string_view name) {
  return fmt::format("<span class=\"tag {}\">{}</span>", name, name);
}

std::string Cell(std::string_view name, std::string_view html, std::string_view classes = "n") {
  return fmt::format("<td class=\"{}\" data-name=\"{}\">{}</td>", classes, name, html);
}

// On a scale on which one in a million can still be seen.
std::string Bar(uint64_t part, uint64_t whole, std::string_view kind) {
  if (part == 0 || whole == 0) return "";
  const double share = static_cast<double>(part) / static_cast<double>(whole);
  const double width = std::max(2.0, 60 * (1 + std::log10(std::min(share, 1.0)) / 6));
  return fmt::format("<span class=\"bar {}\" style=\"width:{:.0f}px\"></span>", kind, width);
}

std::string Rate(uint64_t part, uint64_t whole, std::string_view kind) {
  return fmt::format("{} <span class=\"soft\">({})</span>{}", Grouped(part),
                     PercentText(part, whole), Bar(part, whole, kind));
}

class Page {
 public:
  explicit Page(const ShadowReport& report) : report_(report) {}

  std::string Run() {
    const Verdict& verdict = report_.verdict;
    const std::string title =
        EscapeHtml(fmt::format("{}: shadow of {}", NameOf(verdict.outcome), report_.job));
    html_ = kHtmlHead;
    html_.replace(html_.find("{title}"), 7, title);
    Head();
    Outputs();
    for (const OutputVerdict& output : verdict.outputs) Output(output);
    Cost();
    WhatRan();
    html_ += kHtmlTail;
    return std::move(html_);
  }

 private:
  void List(const std::vector<std::string>& lines) {
    if (lines.empty()) return;
    html_ += "<ul class=\"reasons\">";
    for (const std::string& line : lines) html_ += "<li>" + EscapeHtml(line) + "</li>";
    html_ += "</ul>\n";
  }

  // Opens a panel with a table. A heading that begins with '>' stands to the right.
  void Table(const std::vector<std::string_view>& headings) {
    html_ += "<div class=\"panel\"><table class=\"stack\"><thead><tr>";
    for (std::string_view heading : headings) {
      const bool right = heading.starts_with('>');
      html_ +=
          fmt::format("<th{}>{}</th>", right ? " class=\"n\"" : "", heading.substr(right ? 1 : 0));
    }
    html_ += "</tr></thead><tbody>\n";
  }
  void EndTable() { html_ += "</tbody></table></div>\n"; }

  void Head() {
    const Verdict& verdict = report_.verdict;
    html_ += fmt::format("<h1>Shadow of {}</h1>\n<p class=\"soft\">{}{}</p>\n",
                         EscapeHtml(report_.job), EscapeHtml(report_.written_at),
                         report_.complete ? "" : ": it still runs, and has found this so far");
    html_ += fmt::format(
        "<section class=\"verdict {0}\"><div class=\"word\">{0}</div><p>{1} records of the "
        "baseline compared in {2} output{3}.</p>",
        NameOf(verdict.outcome), Grouped(verdict.compared), verdict.outputs.size(),
        verdict.outputs.size() == 1 ? "" : "s");
    List(verdict.reasons);
    html_ += "</section>\n";
    if (verdict.notes.empty()) return;
    html_ += "<h2>Notes</h2>\n";
    List(verdict.notes);
  }

  void Outputs() {
    html_ += "<h2>Outputs</h2>\n";
    Table({"output", "verdict", ">compared", ">matched", ">mismatched", ">missing", ">extra",
           ">noise"});
    for (const OutputVerdict& output : report_.verdict.outputs) {
      const OutputStatistics& found = output.statistics;
      html_ += fmt::format("<tr><td class=\"path\"><b>{}</b></td><td>{}</td>",
                           EscapeHtml(output.name), Tag(NameOf(output.outcome)));
      html_ += Cell("compared", Grouped(found.baseline_records));
      html_ += Cell("matched", Grouped(found.candidate.matched));
      html_ += Cell("mismatched", Grouped(found.candidate.mismatched));
      html_ += Cell("missing", Grouped(found.candidate.missing));
      html_ += Cell("extra", Grouped(found.candidate.extra));
      html_ +=
          Cell("noise", Grouped(found.again.mismatched + found.again.missing + found.again.extra)) +
          "</tr>\n";
    }
    EndTable();
    html_ +=
        "<p class=\"soft\">Noise: records in which the baseline differs from itself, run a "
        "second time on the same input.</p>\n";
  }

  void Output(const OutputVerdict& output) {
    if (output.fields.empty() && output.statistics.samples.empty()) return;
    html_ += fmt::format("<h2>{}</h2>\n", EscapeHtml(output.name));
    if (!output.fields.empty()) {
      Table({"field", "finding", ">differs", ">noise", "change"});
      for (size_t i = 0; i < std::min(output.fields.size(), kShownFields); ++i) {
        Field(output.fields[i], output.statistics.baseline_records);
      }
      EndTable();
    }
    if (output.fields.size() > kShownFields) {
      html_ += fmt::format("<p class=\"soft\">and {} fields more, in the report in JSON</p>\n",
                           output.fields.size() - kShownFields);
    }
    for (const FieldVerdict& field : output.fields) FieldSamples(field);
    RecordSamples(output.statistics.samples);
  }

  void Field(const FieldVerdict& field, uint64_t records) {
    std::string why = field.known.empty() ? field.why : "known: " + field.known;
    html_ += fmt::format("<tr class=\"{}\"><td class=\"path\"><code>{}</code>{}</td><td>{}</td>",
                         NameOf(field.finding), EscapeHtml(field.path),
                         why.empty() ? "" : "<div class=\"why\">" + EscapeHtml(why) + "</div>",
                         Tag(NameOf(field.finding)));
    html_ += Cell("differs", Rate(field.differs, records, "d"));
    html_ += Cell("noise", Rate(field.noise, records, "b"));
    html_ += Cell("change", EscapeHtml(field.change), "") + "</tr>\n";
  }

  void FieldSamples(const FieldVerdict& field) {
    if (field.samples.empty() || field.finding < Finding::kDoubt) return;
    html_ += fmt::format("<details open><summary>Samples of <code>{}</code></summary>\n",
                         EscapeHtml(field.path));
    Table({"record", "baseline", "candidate"});
    for (const FieldSample& sample : field.samples) {
      MarkedTexts marked = MarkDifferences(sample.baseline, sample.candidate);
      if (sample.baseline.empty()) marked.left = "<i class=\"soft\">missing</i>";
      if (sample.candidate.empty()) marked.right = "<i class=\"soft\">missing</i>";
      html_ += "<tr>" + Cell("record", "<code>" + EscapeHtml(sample.key) + "</code>", "value") +
               Cell("baseline", "<code>" + marked.left + "</code>", "value left") +
               Cell("candidate", "<code>" + marked.right + "</code>", "value right") + "</tr>\n";
    }
    EndTable();
    html_ += "</details>\n";
  }

  void RecordSamples(const std::vector<RecordSample>& samples) {
    if (samples.empty()) return;
    html_ += "<h3>Records side by side</h3>\n";
    constexpr size_t kOpen = 3;
    for (size_t i = 0; i < samples.size(); ++i) {
      const RecordSample& sample = samples[i];
      std::string fields;
      for (const std::string& path : sample.fields) {
        fields += fmt::format("{}<code>{}</code>", fields.empty() ? " &middot; " : ", ",
                              EscapeHtml(path));
      }
      html_ += fmt::format("<details{}><summary><b>{}</b> <code>{}</code>{}</summary>",
                           i < kOpen ? " open" : "", EscapeHtml(sample.kind),
                           EscapeHtml(sample.key), fields);
      const bool both = !sample.baseline.empty() && !sample.candidate.empty();
      MarkedTexts marked =
          MarkDifferences(sample.baseline, both ? sample.candidate : sample.baseline);
      if (!both) marked.right = MarkDifferences(sample.candidate, sample.candidate).right;
      const std::string none = "<i class=\"soft\">no such record</i>";
      html_ += fmt::format(
          "<div class=\"sides\"><div class=\"side left\"><div class=\"name\">baseline</div>"
          "<pre>{}</pre></div><div class=\"side right\"><div class=\"name\">candidate</div>"
          "<pre>{}</pre></div></div></details>\n",
          sample.baseline.empty() ? none : marked.left,
          sample.candidate.empty() ? none : marked.right);
    }
  }

  void Cost() {
    if (report_.cost.empty()) return;
    html_ += "<h2>Cost</h2>\n";
    Table({"measure", ">baseline", ">candidate", ">change", ""});
    for (const CostMeasure& measure : report_.cost) {
      const double change = ChangeOf(measure);
      const bool real = IsMoreThanNoise(measure);
      const bool better = (change > 0) == measure.higher_is_better;
      html_ += fmt::format("<tr><td class=\"path\">{} <span class=\"soft\">{}</span></td>",
                           EscapeHtml(measure.name), EscapeHtml(measure.unit));
      html_ += Cell("baseline", Spread(measure, measure.baseline));
      html_ += Cell("candidate", Spread(measure, measure.candidate));
      html_ += Cell("change", fmt::format("<span class=\"{}\">{:+.1f}%</span>",
                                          !real    ? "soft"
                                          : better ? "better"
                                                   : "worse",
                                          100 * change));
      html_ += fmt::format("<td class=\"soft\">{}</td></tr>\n", real          ? "more than noise"
                                                                : change == 0 ? ""
                                                                              : "within noise");
    }
    EndTable();
    html_ +=
        "<p class=\"soft\">From separate runs of each version: the median, and the smallest "
        "to the largest. More than noise: no run of one version lies among those of the "
        "other, and there are at least three of each.</p>\n";
  }

  static std::string Spread(const CostMeasure& measure, const std::vector<double>& runs) {
    const CostSpread spread = SpreadOf(runs);
    if (spread.runs == 0) return "-";
    return fmt::format("{} <span class=\"soft\">({} to {}, {} run{})</span>",
                       ValueText(measure, spread.median), ValueText(measure, spread.min),
                       ValueText(measure, spread.max), spread.runs, spread.runs == 1 ? "" : "s");
  }

  void WhatRan() {
    html_ += "<h2>What was run</h2>\n";
    if (!report_.command.empty()) {
      html_ += "<pre>" + EscapeHtml(report_.command) + "</pre>\n";
    }
    if (!report_.facts.empty()) {
      Table({"", "baseline", "candidate"});
      for (const RunFact& fact : report_.facts) {
        const bool same = fact.candidate.empty() || fact.candidate == fact.baseline;
        html_ += fmt::format("<tr><td class=\"path\">{}</td>", EscapeHtml(fact.name));
        html_ += Cell("baseline", "<code>" + EscapeHtml(fact.baseline) + "</code>", "value") +
                 Cell("candidate",
                      same ? "<span class=\"soft\">the same</span>"
                           : "<code>" + EscapeHtml(fact.candidate) + "</code>",
                      "value") +
                 "</tr>\n";
      }
      EndTable();
    }
    if (!report_.rules.empty()) {
      html_ += "<details><summary>Rules</summary><div class=\"side\"><pre>" +
               EscapeHtml(report_.rules) + "</pre></div></details>\n";
    }
  }

  const ShadowReport& report_;
  std::string html_;
};

}  // namespace

std::string EscapeHtml(std::string_view text) {
  std::string escaped;
  for (const char c : WithoutDirections(ReplaceInvalidUtf8(text))) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      case '\n':
      case '\t':
        escaped += c;
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
          escaped += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
        } else {
          escaped += c;
        }
    }
  }
  return escaped;
}

std::string ReportHtml(const ShadowReport& report) { return Page(report).Run(); }

}  // namespace weir::shadow
