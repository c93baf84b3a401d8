// TestCa: a certificate authority that issues what a test wishes, also what nobody should believe.
// Files are written into a folder of the test's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/net/tls.h"

namespace weir::testing {

class TestCa {
 public:
  // What a member's certificate says.
  struct Wish {
    std::vector<std::string> names = {"IP:127.0.0.1", "DNS:localhost"};
    int64_t begins_s = -3600;  // from now
    int64_t ends_s = 3600;
    std::string usage;  // extended key usage; empty: none
  };

  TestCa(std::string folder, std::string name);
  ~TestCa();
  TestCa(const TestCa&) = delete;

  // <folder>/<name>.pem and .key.
  TlsFiles Issue(const std::string& name, const Wish& wish);
  TlsFiles Issue(const std::string& name) { return Issue(name, Wish()); }
  std::string ca_file() const;

 private:
  struct Impl;
  const std::string folder_;
  const std::string name_;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace weir::testing
