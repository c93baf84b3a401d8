// Stream<T>: rows of type T on their way from one stage to the next. A handle: cheap to copy, valid
// as long as its JobBuilder.
//
// Functions given to a stage are copied into each of its instances and called from one thread at a
// time. They must not keep the views they are given beyond the call. A function may return a Status
// (or throw) for a row that it cannot take; the row then goes where the stage's policy says and
// leaves nothing else behind.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/hash.h"
#include "jobs/job_builder.h"
#include "operators/transforms/async.h"
#include "operators/transforms/dedup.h"
#include "operators/transforms/filter.h"
#include "operators/transforms/flat_map.h"
#include "operators/transforms/keyed_rebatch.h"
#include "operators/transforms/map.h"
#include "operators/transforms/plugin.h"
#include "operators/transforms/process.h"
#include "operators/transforms/rebatch.h"
#include "operators/transforms/router.h"
#include "operators/transforms/rule_program.h"
#include "operators/transforms/rule_set.h"
#include "operators/transforms/sample.h"
#include "operators/transforms/throttle.h"

namespace weir {

template <class T, class KeyFn>
class KeyedStream;

namespace internal {

// A stage that is a plugin: loaded, and its settings accepted by it. The error says what is wrong.
struct PluginStage {
  StageSpec spec;
  std::function<std::unique_ptr<Operator>()> make;
  std::function<void(BatchBase&)> hash_keys;  // null: it has no state
};
StatusOr<PluginStage> MakePluginStage(std::string_view name, const PluginResource& plugin,
                                      const EventFields& fields, const PluginOptions& options);

// OK for names of ports that a router may declare: distinct, and labels at that.
Status CheckPorts(const std::vector<std::string>& ports);
// What a router goes by, and the file it is from, if that may change.
struct RouteSource {
  StatusOr<std::shared_ptr<const RouterRules>> rules;
  std::optional<Reloadable> reloadable;
};
// taken: the routes that no rule may send events to, in a later version of the file either.
RouteSource RulesOf(const Resource& file, const std::vector<std::string>& ports,
                    std::shared_ptr<const PluginRoutes> taken);

template <class R>
struct ValueOf {
  using Type = R;
};
template <class R>
struct ValueOf<StatusOr<R>> {
  using Type = R;
};
template <class T, class Fn>
auto CallMap(Fn& fn, const T& row, SlabArena& arena) {
  if constexpr (std::is_invocable_v<Fn&, const T&, SlabArena&>) {
    return fn(row, arena);
  } else {
    return fn(row);
  }
}
template <class T, class Fn>
using MapResult = typename ValueOf<decltype(CallMap<T, Fn>(
    std::declval<Fn&>(), std::declval<const T&>(), std::declval<SlabArena&>()))>::Type;

// Fills the batch's key hash column with hash(row). A row whose key function throws goes to key
// group 0, where the stage that wants the key rejects it.
template <class T, class Hash>
void FillKeyHashes(BatchBase& batch, Hash hash) {
  std::vector<uint64_t> hashes;
  hashes.reserve(batch.rows());
  for (const T& row : Batch<T>::Of(std::as_const(batch)).values()) {
    uint64_t value = 0;
    try {
      value = hash(row);
    } catch (...) {
    }
    hashes.push_back(value);
  }
  batch.set_key_hashes(std::move(hashes));
}

template <class T, class KeyFn>
Schema KeyOfRows() {
  return DescribeKey<std::decay_t<std::invoke_result_t<KeyFn&, const T&>>>();
}

// For the edges into operators that know their keys by Hash128 (Dedup, KeyedRebatch).
template <class T, class KeyFn>
std::function<void(BatchBase&)> HashByFingerprint(KeyFn key) {
  return [key](BatchBase& batch) {
    std::string bytes;
    FillKeyHashes<T>(batch, [&](const T& row) { return Hash128(KeyBytes(key(row), bytes)).high; });
  };
}

// For the edges into operators with keyed state.
template <class T, class KeyFn>
std::function<void(BatchBase&)> HashByStateKey(KeyFn key) {
  return [key](BatchBase& batch) mutable {
    std::string bytes;
    FillKeyHashes<T>(batch,
                     [&](const T& row) { return MakeStateKey(KeyBytes(key(row), bytes)).hash; });
  };
}

}  // namespace internal

// A sink, as To() has made it. May be left alone.
class StreamEnd {
 public:
  StreamEnd(GraphDraft& draft, int stage) : draft_(&draft), stage_(stage) {}
  // What happens to rows that the sink cannot take.
  void OnFailure(FailurePolicy policy) { draft_->set_on_failure(stage_, policy); }

 private:
  GraphDraft* draft_;
  int stage_;
};

template <class T>
class Stream {
 public:
  Stream(GraphDraft& draft, int stage, int port) : draft_(&draft), outputs_{{stage, port}} {}

  // The rows of this stream and of others of the same job, in one. Rows of one stream keep their
  // order; those of different streams come in any. The watermark is the least of all. No stage of
  // its own: whatever reads the result reads them all.
  template <std::same_as<Stream<T>>... Others>
  Stream<T> Union(const Others&... others) const {
    Stream<T> all = *this;
    (all.Add(others), ...);
    return all;
  }

  // fn: U(const T&) or StatusOr<U>(const T&); with a second parameter SlabArena& for bytes that it
  // makes. Views may point into the row.
  template <class Fn>
  auto Map(std::string_view name, Fn fn) {
    using U = internal::MapResult<T, Fn>;
    return Then<U>({.name = std::string(name), .kind = "map"},
                   [fn] { return std::make_unique<MapOperator<T, U, Fn>>(fn); });
  }

  // fn: bool(const T&) or StatusOr<bool>(const T&).
  template <class Fn>
  Stream<T> Filter(std::string_view name, Fn fn) {
    return Then<T>({.name = std::string(name), .kind = "filter"},
                   [fn] { return std::make_unique<FilterOperator<T, Fn>>(fn); });
  }

  // fn: void(const T&, Collector<U>&) or Status(const T&, Collector<U>&).
  template <class U, class Fn>
  Stream<U> FlatMap(std::string_view name, Fn fn) {
    return Then<U>({.name = std::string(name), .kind = "flat_map"},
                   [fn] { return std::make_unique<FlatMapOperator<T, U, Fn>>(fn); });
  }

  // Gathers rows into batches of the size that what follows wants.
  Stream<T> Rebatch(std::string_view name, RebatchOptions options = {}) {
    auto codec = MakeRowCodec<T>();
    return Then<T>({.name = std::string(name), .kind = "rebatch", .options = ToText(options)},
                   [options, codec] { return std::make_unique<RebatchOperator>(options, codec); });
  }

  // The same for each key by itself: a batch has rows of one key alone, for what is chained behind
  // it. key as in KeyBy().
  template <class KeyFn>
  Stream<T> Rebatch(std::string_view name, RebatchOptions options, KeyFn key) {
    AddErrorOf(name, ValidateByKey(options));
    return Then<T>(
        {.name = std::string(name),
         .kind = "rebatch",
         .key = internal::KeyOfRows<T, KeyFn>(),
         .options = ToTextByKey(options)},
        [options, key] { return std::make_unique<KeyedRebatch<T, KeyFn>>(options, key); },
        internal::HashByFingerprint<T>(key));
  }

  // Keeps the first of all rows whose key is the same within the window. key as in KeyBy(); a tuple
  // for several fields. tenant: std::string_view(const T&); the report then tells unique rows,
  // duplicates and late ones of each.
  template <class KeyFn, class TenantFn = NoTenant>
  Stream<T> Dedup(std::string_view name, DedupOptions options, KeyFn key, TenantFn tenant = {}) {
    return Then<T>(
        {.name = std::string(name),
         .kind = "dedup",
         .id_state = true,
         .key = internal::KeyOfRows<T, KeyFn>(),
         .options = ToText(options)},
        [options, key, tenant] {
          return std::make_unique<weir::Dedup<T, KeyFn, TenantFn>>(options, key, tenant);
        },
        internal::HashByFingerprint<T>(key));
  }

  // Routes events by rules (docs/routing.md): writes Event::route, and sends an event out once for
  // each route it takes. ports: names of further outputs that rules may send events to; see Side().
  //
  // By the rules of a YAML file, which are read again when the file changes; where the parameter
  // was not given, everything goes to "warehouse".
  Stream<T> Route(std::string_view name, const Resource& file,
                  std::vector<std::string> ports = {}) requires std::same_as<T, Event> {
    internal::RouteSource source = internal::RulesOf(file, ports, draft_->plugin_routes());
    return AddRouter(name, std::move(source), std::move(ports));
  }
  // By predicates in C++.
  template <class... Predicates>
  Stream<T> Route(std::string_view name, const RuleSet<Predicates...>& rules,
                  std::vector<std::string> ports = {}) requires std::same_as<T, Event> {
    internal::RouteSource source{rules.Build(ports), std::nullopt};
    return AddRouter(name, std::move(source), std::move(ports));
  }
  // By rules that were made otherwise.
  Stream<T> Route(std::string_view name,
                  std::shared_ptr<const RouterRules> rules) requires std::same_as<T, Event> {
    return AddRouter(name, {std::move(rules), std::nullopt}, {});
  }

  // Events through a plugin (docs/plugins.md): its main output. fields: what the source reads from
  // lines, and what is read again from those that the plugin changes.
  Stream<Event> Plugin(std::string_view name, const PluginResource& plugin,
                       const EventFields& fields,
                       const PluginOptions& options = {}) requires std::same_as<T, Event> {
    draft_->NotePlugin(name, plugin);
    StatusOr<internal::PluginStage> stage =
        internal::MakePluginStage(name, plugin, fields, options);
    if (!stage.ok()) {
      draft_->AddError(name, std::string(stage.status().message()));
      return Then<Event>({.name = std::string(name), .kind = "plugin"}, nullptr);
    }
    draft_->NotePluginOutputs(name, plugin.name, stage->spec.outputs);
    return Then<Event>(std::move(stage->spec), std::move(stage->make), std::move(stage->hash_keys));
  }

  // key: a string, a string_view into the row, an integer or a tuple of these, from const T&.
  template <class KeyFn>
  KeyedStream<T, KeyFn> KeyBy(KeyFn key) {
    return {*this, key};
  }

  // Ends the stream.
  StreamEnd To(std::string_view name, SinkSpec<T> sink) {
    const int stage = draft_->AddSink(name, sink);
    Connect(stage, nullptr);
    return {*draft_, stage};
  }

  // Keeps a share of the rows, by the hash of their key (as in KeyBy()), or each by itself. Rows
  // that are kept may be given the weight they stand for: set_weight is void(T&, double).
  template <class KeyFn = EachRow, class WeightFn = NoWeight>
  Stream<T> Sample(std::string_view name, SampleOptions options, KeyFn key = {},
                   WeightFn set_weight = {}) {
    AddErrorOf(name, Validate(options));
    return Then<T>({.name = std::string(name), .kind = "sample", .options = ToText(options)},
                   [options, key, set_weight] {
                     return std::make_unique<weir::Sample<T, KeyFn, WeightFn>>(options, key,
                                                                               set_weight);
                   });
  }

  // Lets no more than so many rows of a key through in a time. The others are dropped, or come from
  // Side<T>(kThrottledPort). key as in KeyBy().
  template <class KeyFn>
  Stream<T> Throttle(std::string_view name, ThrottleOptions options, KeyFn key) {
    AddErrorOf(name, Validate(options));
    return Then<T>(
        {.name = std::string(name),
         .kind = "throttle",
         .keyed_state = true,
         .key = internal::KeyOfRows<T, KeyFn>(),
         .options = ToText(options)},
        [options, key] { return std::make_unique<weir::Throttle<T, KeyFn>>(options, key); },
        internal::HashByStateKey<T>(key));
  }

  // A call to something outside for each row, several at a time. fn: StatusOr<U>(const T&), which
  // may block and is called from several threads, or void(const T&, AsyncReply<U>), which must not.
  template <class U, class Fn>
  Stream<U> Async(std::string_view name, AsyncOptions options, Fn fn) {
    AddErrorOf(name, Validate(options));
    return Then<U>(
        {.name = std::string(name),
         .kind = "async",
         .options = ToText(options),
         .outside = !options.safe_in_shadow},
        [options, fn] { return std::make_unique<AsyncOperator<T, U, Fn>>(options, fn); });
  }

  // What happens to rows that the stage in front cannot take.
  Stream<T> OnFailure(FailurePolicy policy) {
    NeedOneStageInFront("OnFailure()");
    draft_->set_on_failure(outputs_[0].stage, policy);
    return *this;
  }

  // What the stage in front emits on another of its ports. Rows of a port other than 0 that nobody
  // reads are dropped, and counted as such.
  template <class U>
  Stream<U> Side(int port) const {
    NeedOneStageInFront("Side()");
    return {*draft_, outputs_[0].stage, port};
  }

  // The names of the stage in front for its ports 1, 2, ...
  std::vector<std::string> SideNames() const { return draft_->side_names(outputs_[0].stage); }
  // The same for a port that has a name: what a plugin puts out beside its main output, with the
  // route "<plugin>-<name>", or one of the further outputs that a router's Route() declared. Each
  // of them has to be read: whoever does not want one drops its events.
  Stream<Event> Side(std::string_view name) const requires std::same_as<T, Event> {
    return Side<Event>(draft_->PortOf(outputs_[0].stage, name));
  }

  // A stage of the caller's own kind: any Operator that emits rows of type U. hash_keys, where
  // given, deals the rows out by key.
  template <class U>
  Stream<U> Then(StageSpec spec, std::function<std::unique_ptr<Operator>()> make,
                 std::function<void(BatchBase&)> hash_keys = nullptr) {
    int stage = draft_->AddStage(std::move(spec), {.op = std::move(make)});
    Connect(stage, hash_keys);
    return {*draft_, stage, 0};
  }

 private:
  struct StageOutput {
    int stage;
    int port;
  };

  // The error of a stage, if there is one.
  void AddErrorOf(std::string_view stage, const Status& status) {
    if (!status.ok()) draft_->AddError(stage, std::string(status.message()));
  }
  void NeedOneStageInFront(const std::string& call) const {
    if (outputs_.size() == 1) return;
    draft_->AddError(
        draft_->name_of(outputs_[0].stage),
        call + " behind Union() has more than one stage in front: call it behind each of them");
  }

  void Add(const Stream<T>& other) {
    if (other.draft_ != draft_) {
      draft_->AddError(draft_->name_of(outputs_[0].stage),
                       "Union() with a stream of another JobBuilder");
      return;
    }
    outputs_.insert(outputs_.end(), other.outputs_.begin(), other.outputs_.end());
  }

  void Connect(int to, const std::function<void(BatchBase&)>& hash_keys) {
    Partitioning partitioning = hash_keys ? Partitioning::kKeyed : Partitioning::kForward;
    for (const StageOutput& from : outputs_) {
      draft_->AddEdge(from.stage, from.port, to, 0, partitioning, {MakeRowCodec<T>(), hash_keys});
    }
  }

  Stream<T> AddRouter(std::string_view name, internal::RouteSource source,
                      std::vector<std::string> ports) {
    Status sound = internal::CheckPorts(ports);
    if (sound.ok()) sound = source.rules.status();
    AddErrorOf(name, sound);
    const std::shared_ptr<const RouterRules> rules =
        sound.ok() ? *source.rules : RouteEverythingTo(kDefaultRoute);
    for (const weir::Route& route : rules->routes()) draft_->NoteRuleRoute(name, route.label);
    const int stage = draft_->AddStage({.name = std::string(name),
                                        .kind = "router",
                                        .options = ToText(*rules),
                                        .outputs = std::move(ports)},
                                       {.op = [rules] { return std::make_unique<Router>(rules); },
                                        .reloadable = std::move(source.reloadable)});
    Connect(stage, nullptr);
    return {*draft_, stage, 0};
  }

  GraphDraft* draft_;
  std::vector<StageOutput> outputs_;  // one, but for a union; never empty
};

// Stream<T> dealt out by a key: all rows of one key meet in one instance of the next stage, in
// order.
template <class T, class KeyFn>
class KeyedStream {
 public:
  KeyedStream(Stream<T> stream, KeyFn key) : stream_(stream), key_(std::move(key)) {}

  // User code with keyed state: see operators/transforms/process.h for what a function has.
  template <class U, class Function>
  Stream<U> Process(std::string_view name, Function function) {
    return stream_.template Then<U>(
        {.name = std::string(name),
         .kind = "process",
         .keyed_state = true,
         .key = internal::KeyOfRows<T, KeyFn>()},
        [function, key = key_] {
          return std::make_unique<ProcessOperator<T, U, Function, KeyFn>>(function, key);
        },
        internal::HashByStateKey<T>(key_));
  }

  // As Stream's, by this key.
  Stream<T> Rebatch(std::string_view name, RebatchOptions options = {}) {
    return stream_.Rebatch(name, options, key_);
  }
  template <class WeightFn = NoWeight>
  Stream<T> Sample(std::string_view name, SampleOptions options, WeightFn set_weight = {}) {
    return stream_.Sample(name, options, key_, set_weight);
  }
  Stream<T> Throttle(std::string_view name, ThrottleOptions options) {
    return stream_.Throttle(name, options, key_);
  }
  template <class TenantFn = NoTenant>
  Stream<T> Dedup(std::string_view name, DedupOptions options, TenantFn tenant = {}) {
    return stream_.Dedup(name, options, key_, tenant);
  }

 private:
  Stream<T> stream_;
  KeyFn key_;
};

template <class T>
Stream<T> JobBuilder::From(std::string_view name, SourceSpec<T> spec) {
  int stage = draft_.AddStage({.name = std::string(name),
                               .kind = spec.kind,
                               .role = StageRole::kSource,
                               .keyed_state = true,
                               .options = spec.options},
                              {.source = spec.make, .check = spec.check, .reads = spec.reads});
  return {draft_, stage, 0};
}

}  // namespace weir
