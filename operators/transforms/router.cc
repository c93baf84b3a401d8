#include "operators/transforms/router.h"

#include "core/codec.h"

namespace weir {

Status Router::Open(OperatorContext& context) {
  counters_ = context.counters;
  return absl::OkStatus();
}

StatusOr<Progress> Router::Process(int, BatchPtr base, Output& out) {
  auto& batch = Batch<Event>::Of(*base);
  const size_t n = batch.rows();
  labels_.clear();
  ends_.resize(n);
  keep_.assign(n, 1);
  bool drop = false;
  bool expand = false;
  size_t route_bytes = 0;
  for (size_t i = 0; i < n; ++i) {
    Event& event = batch[i];
    const size_t begin = labels_.size();
    payload_.Reset(event.payload);
    const bool sound = rules_->Match(event, payload_, labels_);
    const size_t matched = labels_.size() - begin;
    ends_[i] = static_cast<uint32_t>(labels_.size());
    if (matched == 0) {
      keep_[i] = 0;
      drop = true;
      if (sound) {
        ++counters_->dropped;
      } else {
        const Status why = Annotate(payload_.error(), "a rule looks into the payload");
        out.Reject({why.message().data(), why.message().size()}, event.payload, batch.times()[i]);
      }
      continue;
    }
    event.route = rules_->label(labels_[begin]);
    route_bytes += event.route.size();
    expand |= matched > 1;
  }
  if (expand) {
    base = Expand(batch);
  } else {
    batch.AddViewBytes(route_bytes);
    if (drop) batch.Retain(keep_);
  }
  base->slabs().Add(rules_->slab());
  out.Emit(0, std::move(base));
  return Progress::kDone;
}

BatchPtr Router::Expand(const Batch<Event>& batch) const {
  auto expanded = std::make_unique<Batch<Event>>();
  expanded->Reserve(labels_.size());
  const auto hashes = batch.key_hashes();
  std::vector<uint64_t> expanded_hashes;
  expanded_hashes.reserve(hashes.empty() ? 0 : labels_.size());
  size_t view_bytes = 0;
  size_t next = 0;
  for (size_t i = 0; i < batch.rows(); ++i) {
    for (; next < ends_[i]; ++next) {
      Event event = batch[i];
      event.route = rules_->label(labels_[next]);
      view_bytes += Codec<Event>::ViewBytes(event);
      expanded->Add(event, batch.times()[i]);
      if (!hashes.empty()) expanded_hashes.push_back(hashes[i]);
    }
  }
  expanded->set_key_hashes(std::move(expanded_hashes));
  expanded->slabs().Unite(batch.slabs());
  expanded->AddViewBytes(view_bytes);
  return expanded;
}

}  // namespace weir
