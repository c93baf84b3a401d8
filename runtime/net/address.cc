#include "runtime/net/address.h"

#include <fmt/format.h>

#include <charconv>

namespace weir {

std::string Address::ToString() const {
  const bool v6 = host.find(':') != std::string::npos;
  return v6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

StatusOr<Address> ParseAddress(std::string_view text) {
  const auto wrong = [&] {
    return absl::InvalidArgumentError(fmt::format(
        "'{}' is not an address; wanted HOST:PORT, with an IPv6 address in brackets: [::1]:7070",
        text));
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong();
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find_first_of(":[]") != std::string_view::npos) {
    return wrong();
  }
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (host.empty() || port.empty() || error != std::errc() || end != port.data() + port.size()) {
    return wrong();
  }
  return Address{std::string(host), number};
}

}  // namespace weir
