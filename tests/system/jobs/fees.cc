// What rides cost beside their fare, built with one tariff.proto and with another of the same name:
// a process that loads both of these libraries ends as the second one registers its file.
//
// {"id":"a","tenant":"t1"} in, {"id":"a","fee":1.5} out for each.
#include <google/protobuf/text_format.h>
#include <tariff.pb.h>  // of tariff1/ or tariff2/

#include <memory>
#include <string>

#include "jobs/job.h"

namespace {

struct Ride {
  std::string_view id;
  std::string_view tenant;
  BOOST_DESCRIBE_CLASS(Ride, (), (id, tenant), (), ())
};

struct Fee {
  std::string_view id;
  double fee = 0;
  BOOST_DESCRIBE_CLASS(Fee, (), (id, fee), (), ())
};

Fee FeeOf(const weir_test::Tariff& tariff, const Ride& ride) {
  for (const weir_test::Tariff::Zone& zone : tariff.zone()) {
    if (zone.tenant() == ride.tenant) return {ride.id, zone.fee()};
  }
  return {ride.id, 0};
}

void Build(weir::JobBuilder& job, weir::Parameters& params) {
  const std::string input = params.Path("input", "the folder of the rides");
  const std::string out = params.Path("out", "the folder of the fees");
  const weir::Resource file = params.File("tariff", "a Tariff as text");
  const auto tariff = std::make_shared<weir_test::Tariff>();
  if (!google::protobuf::TextFormat::ParseFromString(file.bytes, tariff.get())) {
    params.AddError("tariff", "is no Tariff");
  }
  job.From("rides", weir::JsonFiles<Ride>({.input = input}))
      .Map("fee", [tariff](const Ride& ride) { return FeeOf(*tariff, ride); })
      .To("fees", weir::JsonFileSink<Fee>({.directory = out, .by_partition = false}));
}

}  // namespace

WEIR_JOB(fees, Build)
