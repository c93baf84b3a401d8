#include "runtime/security/security_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <boost/asio/ip/address.hpp>
#include <vector>

namespace weir {
namespace {

std::vector<std::string_view> MissingTlsFlags(const TlsFiles& files) {
  std::vector<std::string_view> missing;
  if (files.cert.empty()) missing.push_back("--tls-cert");
  if (files.key.empty()) missing.push_back("--tls-key");
  if (files.ca.empty()) missing.push_back("--tls-ca");
  return missing;
}

}  // namespace

bool IsLoopback(const std::string& host) {
  if (host == "localhost") return true;
  boost::system::error_code not_an_ip;
  const auto address = boost::asio::ip::make_address(host, not_an_ip);
  if (not_an_ip) return false;
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return make_address_v4(boost::asio::ip::v4_mapped, address.to_v6()).is_loopback();
  }
  return address.is_loopback();
}

Status CheckListenAddress(std::string_view flag, const Address& address,
                          const SecurityOptions& options) {
  if (IsLoopback(address.host)) return absl::OkStatus();
  std::vector<std::string_view> missing = MissingTlsFlags(options.tls);
  if (options.token_file.empty()) missing.push_back("--token-file");
  if (missing.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("{} {} can be reached from other machines, and who reaches it could run code "
                  "here; that needs "
                  "TLS and tokens. Missing: {}. See docs/security.md, or listen on 127.0.0.1",
                  flag, address.ToString(), fmt::join(missing, " ")));
}

StatusOr<std::shared_ptr<const TlsContext>> LoadMemberTls(const SecurityOptions& options) {
  const std::vector<std::string_view> missing = MissingTlsFlags(options.tls);
  if (missing.size() == 3) return std::shared_ptr<const TlsContext>();
  if (!missing.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("TLS needs three files; missing: {}", fmt::join(missing, " ")));
  }
  return LoadTls(options.tls);
}

}  // namespace weir
