#include "shadow/report_table.h"

#include <fmt/format.h>

#include <sstream>

#include "core/text_table.h"
#include "core/utf8.h"
#include "shadow/difference.h"

namespace weir::shadow {
namespace {

enum class Colour { kNone, kRed, kGreen, kYellow, kDim };

constexpr size_t kShownFields = 20;  // of an output
constexpr size_t kShownReasons = 20;
constexpr size_t kSampleChars = 60;

Colour ColourOf(Outcome outcome) {
  static constexpr Colour kColours[] = {Colour::kGreen, Colour::kYellow, Colour::kRed};
  return kColours[static_cast<size_t>(outcome)];
}

Colour ColourOf(Finding finding) {
  if (finding == Finding::kChanged) return Colour::kRed;
  if (finding == Finding::kDoubt) return Colour::kYellow;
  return finding == Finding::kTolerated ? Colour::kNone : Colour::kDim;
}

class Printer {
 public:
  Printer(const ShadowReport& report, bool colours) : report_(report), colours_(colours) {}

  std::string Run() {
    const Verdict& verdict = report_.verdict;
    text_ += Painted(std::string(NameOf(verdict.outcome)), ColourOf(verdict.outcome));
    text_ += fmt::format("  {} records of the baseline compared in {} outputs\n",
                         Grouped(verdict.compared), verdict.outputs.size());
    Lines(verdict.reasons, ColourOf(verdict.outcome));
    Outputs();
    for (const OutputVerdict& output : verdict.outputs) Fields(output);
    Cost();
    if (!verdict.notes.empty()) text_ += "\nNotes\n";
    Lines(verdict.notes, Colour::kNone);
    return std::move(text_);
  }

 private:
  std::string Painted(std::string text, Colour colour) const {
    static constexpr std::string_view kCodes[] = {"", "\x1b[31;1m", "\x1b[32;1m", "\x1b[33;1m",
                                                  "\x1b[2m"};
    if (!colours_ || colour == Colour::kNone) return text;
    return fmt::format("{}{}\x1b[0m", kCodes[static_cast<size_t>(colour)], text);
  }

  void Lines(const std::vector<std::string>& lines, Colour colour) {
    for (size_t i = 0; i < lines.size(); ++i) {
      if (i == kShownReasons) {
        text_ += fmt::format("  and {} more\n", lines.size() - i);
        return;
      }
      text_ += Painted("  - ", colour) + Printable(lines[i]) + "\n";
    }
  }

  // The table's lines, each row's in its colour.
  void Table(const TextTable& table, const std::vector<Colour>& colours) {
    std::istringstream lines(table.ToString());
    std::string line;
    text_ += "\n";
    for (size_t row = 0; std::getline(lines, line); ++row) {
      text_ += Painted(line, row == 0 ? Colour::kDim : colours[row - 1]) + "\n";
    }
  }

  void Outputs() {
    TextTable table({"OUTPUT", "VERDICT", ">COMPARED", ">MATCHED", ">MISMATCHED", ">MISSING",
                     ">EXTRA", ">NOISE"});
    std::vector<Colour> colours;
    for (const OutputVerdict& output : report_.verdict.outputs) {
      const OutputStatistics& found = output.statistics;
      table.Add({output.name, std::string(NameOf(output.outcome)), Grouped(found.baseline_records),
                 Grouped(found.candidate.matched), Grouped(found.candidate.mismatched),
                 Grouped(found.candidate.missing), Grouped(found.candidate.extra),
                 Grouped(found.again.mismatched + found.again.missing + found.again.extra)});
      colours.push_back(output.outcome == Outcome::kPass ? Colour::kNone
                                                         : ColourOf(output.outcome));
    }
    if (!colours.empty()) Table(table, colours);
  }

  void Fields(const OutputVerdict& output) {
    if (output.fields.empty()) return;
    const uint64_t records = output.statistics.baseline_records;
    TextTable table({"FIELD of " + output.name, "FINDING", "CHANGE", ">DIFFERS", ">", ">NOISE", ">",
                     "BASELINE", "CANDIDATE"});
    std::vector<Colour> colours;
    for (const FieldVerdict& field : output.fields) {
      if (colours.size() == kShownFields) break;
      const FieldSample sample = field.samples.empty() ? FieldSample() : field.samples[0];
      table.Add({field.path, std::string(NameOf(field.finding)), field.change,
                 Grouped(field.differs), PercentText(field.differs, records), Grouped(field.noise),
                 PercentText(field.noise, records), Shown(sample.baseline, kSampleChars),
                 Shown(sample.candidate, kSampleChars)});
      colours.push_back(ColourOf(field.finding));
    }
    Table(table, colours);
    if (output.fields.size() > kShownFields) {
      text_ += fmt::format("and {} fields more\n", output.fields.size() - kShownFields);
    }
  }

  void Cost() {
    if (report_.cost.empty()) return;
    TextTable table({"COST", "UNIT", ">BASELINE", ">CANDIDATE", ">CHANGE", ""});
    std::vector<Colour> colours;
    for (const CostMeasure& measure : report_.cost) {
      const double change = ChangeOf(measure);
      const bool real = IsMoreThanNoise(measure);
      table.Add({measure.name, measure.unit, ValueText(measure, SpreadOf(measure.baseline).median),
                 ValueText(measure, SpreadOf(measure.candidate).median),
                 fmt::format("{:+.1f}%", 100 * change), real ? "" : "within noise"});
      const bool better = (change > 0) == measure.higher_is_better;
      colours.push_back(!real ? Colour::kDim : better ? Colour::kGreen : Colour::kRed);
    }
    Table(table, colours);
  }

  const ShadowReport& report_;
  const bool colours_;
  std::string text_;
};

}  // namespace

std::string ReportTable(const ShadowReport& report, bool colours) {
  return Printer(report, colours).Run();
}

}  // namespace weir::shadow
