#include "operators/transforms/router.h"

#include "core/codec.h"
#include "operators/transforms/user_call.h"

namespace weir {

Status Router::Open(OperatorContext& context) {
  counters_ = context.counters;
  return absl::OkStatus();
}

Status Router::OnReload(const Reloaded& reloaded) {
  rules_ = std::static_pointer_cast<const RouterRules>(reloaded.content);
  return absl::OkStatus();
}

StatusOr<Progress> Router::Process(int, BatchPtr base, Output& out) {
  auto& batch = Batch<Event>::Of(*base);
  rules_->Match(batch, payload_, matches_);
  const size_t n = batch.rows();
  WEIR_CHECK(matches_.ends.size() == n);
  for (const RouteMatches::Failure& failure : matches_.failures) {
    internal::RejectRow(batch[failure.row], batch.times()[failure.row], failure.why, out);
  }
  size_t nowhere = 0;
  size_t route_bytes = 0;
  keep_.assign(n, 1);
  for (size_t i = 0, begin = 0; i < n; begin = matches_.ends[i++]) {
    if (matches_.ends[i] == begin) {
      keep_[i] = 0;
      ++nowhere;
      continue;
    }
    batch[i].route = rules_->label(matches_.routes[begin]);
    route_bytes += batch[i].route.size();
  }
  counters_->dropped += nowhere - matches_.failures.size();
  if (rules_->has_ports() || matches_.routes.size() != n - nowhere) {
    EmitByPort(batch, out);
    return Progress::kDone;
  }
  batch.AddViewBytes(route_bytes);
  if (nowhere > 0) batch.Retain(keep_);
  base->slabs().Add(rules_->slab());
  out.Emit(0, std::move(base));
  return Progress::kDone;
}

void Router::EmitByPort(const Batch<Event>& batch, Output& out) {
  struct Part {
    std::unique_ptr<Batch<Event>> batch;
    std::vector<uint64_t> hashes;
    size_t view_bytes = 0;
  };
  std::vector<Part> parts;  // by port
  const auto hashes = batch.key_hashes();
  for (size_t i = 0, next = 0; i < batch.rows(); ++i) {
    for (; next < matches_.ends[i]; ++next) {
      const uint16_t route = matches_.routes[next];
      const size_t port = rules_->port(route);
      if (port >= parts.size()) parts.resize(port + 1);
      Part& part = parts[port];
      if (part.batch == nullptr) {
        part.batch = std::make_unique<Batch<Event>>();
        part.batch->Reserve(batch.rows());
      }
      Event event = batch[i];
      event.route = rules_->label(route);
      part.view_bytes += Codec<Event>::ViewBytes(event);
      part.batch->Add(event, batch.times()[i]);
      if (!hashes.empty()) part.hashes.push_back(hashes[i]);
    }
  }
  for (size_t port = 0; port < parts.size(); ++port) {
    Part& part = parts[port];
    if (part.batch == nullptr) continue;
    part.batch->set_key_hashes(std::move(part.hashes));
    part.batch->slabs().Unite(batch.slabs());
    part.batch->slabs().Add(rules_->slab());
    part.batch->AddViewBytes(part.view_bytes);
    out.Emit(static_cast<int>(port), std::move(part.batch));
  }
}

}  // namespace weir
