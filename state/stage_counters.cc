#include "state/stage_counters.h"

#include "weir/state/manifest.pb.h"

namespace weir {

StageCounters& StageCounters::operator+=(const StageCounters& other) {
  records_in += other.records_in;
  records_out += other.records_out;
  dropped += other.dropped;
  dead_letters += other.dead_letters;
  unusable_times += other.unusable_times;
  for (const auto& [name, count] : other.named) named[name] += count;
  tenants += other.tenants;
  return *this;
}

void StageCounters::Write(state::Counters& out) const {
  out.set_records_in(records_in);
  out.set_records_out(records_out);
  out.set_dropped(dropped);
  out.set_dead_letters(dead_letters);
  out.set_unusable_times(unusable_times);
  for (const auto& [name, count] : named) {
    state::NamedCounter& counter = *out.add_named();
    counter.set_name(name);
    counter.set_count(count);
  }
  if (!tenants.empty()) tenants.Write(*out.mutable_tenants());
}

StageCounters StageCounters::Read(const state::Counters& in) {
  StageCounters counters;
  counters.records_in = in.records_in();
  counters.records_out = in.records_out();
  counters.dropped = in.dropped();
  counters.dead_letters = in.dead_letters();
  counters.unusable_times = in.unusable_times();
  for (const state::NamedCounter& named : in.named()) counters.named[named.name()] += named.count();
  counters.tenants = TenantCounts::Read(in.tenants());
  return counters;
}

}  // namespace weir
