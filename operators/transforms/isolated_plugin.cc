#include "operators/transforms/isolated_plugin.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "operators/transforms/plugin_file.h"
#include "operators/transforms/plugin_log.h"

namespace weir {
namespace {

using namespace plugin_host;

constexpr char kRubbish[] = "it wrote over the memory that it shares with Weir";

// The record of a set-up, in memory of our own.
struct SetupRecord {
  std::string log;
  Record record;
  std::string loader_error;  // empty: it could be loaded
  bool has_table = false;
  TableFacts facts;
  std::string name, version;
};

StatusOr<SetupRecord> ReadSetup(const char* answers) {
  SetupRecord setup;
  if (!internal::CopyPluginRecord(answers + kHeaderBytes, kSetupBytes, 0, setup.log,
                                  setup.record) ||
      setup.record.kind != RecordKind::kSetup) {
    return absl::DataLossError(kRubbish);
  }
  internal::PluginCalls calls(std::string_view(setup.log).substr(sizeof(Record)));
  if (setup.record.calls == 0) return setup;
  const Call first = calls.Take<Call>();
  if (first.op == Op::kText) {
    setup.loader_error = calls.TakeText(first.argument);
  } else if (first.op == Op::kTable) {
    setup.has_table = true;
    setup.facts = calls.Take<TableFacts>();
    setup.name = calls.TakeBytes(setup.facts.name_bytes);
    setup.version = calls.TakeBytes(setup.facts.version_bytes);
  }
  if (calls.broken()) return absl::DataLossError(kRubbish);
  return setup;
}

// A table that has all that is looked at before create() is called.
WeirPluginTable TableOf(const SetupRecord& setup) {
  WeirPluginTable table{};
  table.abi = setup.facts.abi;
  uint32_t* const sizes[] = {&table.table_bytes, &table.event_bytes, &table.output_bytes,
                             &table.call_bytes,  &table.host_bytes,  &table.setup_bytes,
                             &table.state_bytes};
  for (int i = 0; i < 7; ++i) *sizes[i] = setup.facts.sizes[i];
  if (setup.facts.functions != 0) {
    table.create = [](const WeirPluginSetup*, void**) { return WEIR_PLUGIN_FAILED; };
    table.process = [](void*, WeirPluginCall*) { return WEIR_PLUGIN_FAILED; };
    table.destroy = [](void*) {};
  }
  if (setup.facts.has_name != 0) table.name = setup.name.c_str();
  table.version = setup.version.c_str();
  return table;
}

// Does to `to` what create() did.
Status ReplayCreate(const SetupRecord& setup, PluginSetup& to) {
  internal::PluginCalls calls(std::string_view(setup.log).substr(sizeof(Record)));
  for (uint32_t i = 0; i < setup.record.calls && !calls.broken(); ++i) {
    const Call call = calls.Take<Call>();
    switch (call.op) {
      case Op::kTable:
        calls.Take<TableFacts>();
        calls.TakeBytes(setup.name.size() + setup.version.size());
        calls.SkipPadding(sizeof(TableFacts) + setup.name.size() + setup.version.size());
        break;
      case Op::kReject:
        to.reject(&to, ToTableBytes(calls.TakeText(call.argument)));
        break;
      case Op::kKeyBy:
        to.key_by(&to, call.argument);
        break;
      case Op::kNullState:
        to.state(&to, nullptr);
        break;
      case Op::kState: {
        const StateFacts facts = calls.Take<StateFacts>();
        const WeirPluginState state{ToTableBytes(calls.TakeText(call.argument)), facts.type, 0,
                                    facts.ttl_micros};
        to.state(&to, &state);
        break;
      }
      case Op::kOutput:
        to.output(&to, ToTableBytes(calls.TakeText(call.argument)));
        break;
      case Op::kCounter:
        to.counter(&to, ToTableBytes(calls.TakeText(call.argument)));
        break;
      default:
        return absl::DataLossError(kRubbish);
    }
  }
  return calls.broken() ? absl::DataLossError(kRubbish) : absl::OkStatus();
}

}  // namespace

StatusOr<std::shared_ptr<const IsolatedPlugin>> IsolatedPlugin::Load(std::string_view name,
                                                                     const std::string& path,
                                                                     std::string_view bytes,
                                                                     PluginSettings settings,
                                                                     const PluginOptions& options) {
  std::shared_ptr<IsolatedPlugin> plugin(new IsolatedPlugin);
  plugin->name_ = name;
  plugin->path_ = path;
  plugin->settings_ = std::move(settings);
  plugin->options_ = options;
  plugin->label_ = fmt::format("plugin {}", name);  // until it has told its version
  WEIR_ASSIGN_OR_RETURN(plugin->fd_, PluginInMemory(name, path, bytes));
  uint32_t threads = 0;
  Status asked = absl::UnavailableError("");
  // What somebody else has ended says nothing about the plugin.
  for (int i = 0; i < limits::kIsolatedKillsMax && absl::IsUnavailable(asked); ++i) {
    WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<PluginKeeper> keeper, plugin->MakeKeeper());
    asked = plugin->Ask(*keeper, true, nullptr, plugin->identity_, plugin->declaration_, threads);
  }
  WEIR_RETURN_IF_ERROR(asked);
  plugin->starts_threads_ = threads > 1;
  plugin->label_ = plugin->identity_.label();
  return plugin;
}

IsolatedPlugin::~IsolatedPlugin() {
  if (fd_ >= 0) close(fd_);
}

StatusOr<std::unique_ptr<PluginKeeper>> IsolatedPlugin::MakeKeeper() const {
  return PluginKeeper::Start({label_, fd_, settings_, options_.memory});
}

StatusOr<std::unique_ptr<PluginKeeper>> IsolatedPlugin::StartKeeper() const {
  WEIR_ASSIGN_OR_RETURN(std::unique_ptr<PluginKeeper> keeper, MakeKeeper());
  if (!starts_threads_) WEIR_RETURN_IF_ERROR(keeper->Load());
  return keeper;
}

Status IsolatedPlugin::StartHost(PluginKeeper& keeper, const std::atomic<bool>* stop) const {
  PluginIdentity identity;
  PluginDeclaration declaration;
  uint32_t threads = 0;
  WEIR_RETURN_IF_ERROR(Ask(keeper, false, stop, identity, declaration, threads));
  if (identity.version == identity_.version && declaration == declaration_) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{} declares other things than when the job was built: now {}, then {}; what it "
                  "declares may follow from its settings only",
                  label_, ToText(declaration), ToText(declaration_)));
}

Status IsolatedPlugin::Ask(PluginKeeper& keeper, bool check_only, const std::atomic<bool>* stop,
                           PluginIdentity& identity, PluginDeclaration& declaration,
                           uint32_t& threads) const {
  WEIR_RETURN_IF_ERROR(keeper.StartHost(check_only));
  std::optional<int> ended;
  if (!keeper.WaitUntilReady(limits::kIsolatedStartMax, stop, ended)) {
    if (!ended) {
      return absl::InvalidArgumentError(fmt::format("{}: it was not set up within {}", label_,
                                                    FormatDuration(limits::kIsolatedStartMax)));
    }
    const std::string what =
        fmt::format("{}: its process {} while it was set up", label_, DescribeWaitStatus(*ended));
    if (EndedByItself(*ended)) return absl::InvalidArgumentError(what);
    return absl::UnavailableError(what);
  }
  const auto annotated = [this](const Status& status) { return Annotate(status, label_); };
  StatusOr<SetupRecord> setup = ReadSetup(keeper.answer_area());
  if (!setup.ok()) return annotated(setup.status());
  if (!setup->loader_error.empty()) {
    return CannotLoadPlugin(path_, kPluginFile, setup->loader_error);
  }
  if (!setup->has_table) return NoPluginEntry(path_);
  WEIR_RETURN_IF_ERROR(CheckPluginTable(name_, path_, TableOf(*setup)));
  identity = {setup->name, setup->version};
  threads = setup->facts.threads;
  PluginSetup made(settings_);
  const Status replayed = ReplayCreate(*setup, made);
  if (!replayed.ok()) return annotated(replayed);
  const std::string label = identity.label();
  if (setup->record.code == WEIR_PLUGIN_OK && (setup->record.flags & kNoInstance) == 0) {
    made.Finish();
    declaration = std::move(made.declaration());
  } else if (made.errors().empty()) {
    return absl::InvalidArgumentError(fmt::format(
        "{}: it cannot be set up (code {}), and does not say why", label, setup->record.code));
  }
  if (!made.errors().empty()) {
    return absl::InvalidArgumentError(fmt::format("{}: {}", label, made.errors()));
  }
  if ((setup->record.flags & kMemoryIsShort) != 0) {
    return absl::InvalidArgumentError(
        fmt::format("{}: when it is set up it has all but filled the {} that its process may "
                    "allocate; give it more",
                    label, FormatSize(options_.memory)));
  }
  return absl::OkStatus();
}

}  // namespace weir
