#include "tests/support/test_ca.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <cstdio>
#include <utility>

#include "core/check.h"

namespace weir::testing {
namespace {

struct Freer {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
  void operator()(std::FILE* file) const { std::fclose(file); }
};
template <class T>
using Owned = std::unique_ptr<T, Freer>;

void Extend(X509* certificate, X509* issuer, int what, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Owned<X509_EXTENSION> extension(
      X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str()));
  WEIR_CHECK(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1);
}

// Not signed yet.
Owned<X509> Make(const std::string& name, EVP_PKEY* key, int64_t begins_s, int64_t ends_s) {
  static long serial = 1;
  Owned<X509> made(X509_new());
  X509_set_version(made.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), serial++);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), begins_s);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), ends_s);
  X509_set_pubkey(made.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  return made;
}

Owned<std::FILE> Create(const std::string& path) {
  Owned<std::FILE> file(std::fopen(path.c_str(), "w"));
  WEIR_CHECK(file != nullptr && chmod(path.c_str(), 0600) == 0);
  return file;
}

void Write(const std::string& path, X509* certificate) {
  WEIR_CHECK(PEM_write_X509(Create(path).get(), certificate) == 1);
}

}  // namespace

struct TestCa::Impl {
  Owned<EVP_PKEY> key{EVP_EC_gen("P-256")};
  Owned<X509> certificate;
};

TestCa::TestCa(std::string folder, std::string name)
    : folder_(std::move(folder)), name_(std::move(name)), impl_(std::make_unique<Impl>()) {
  impl_->certificate = Make(name_, impl_->key.get(), -7200, 7200);
  X509* own = impl_->certificate.get();
  X509_set_issuer_name(own, X509_get_subject_name(own));
  Extend(own, own, NID_basic_constraints, "critical,CA:TRUE");
  Extend(own, own, NID_key_usage, "critical,keyCertSign,cRLSign");
  WEIR_CHECK(X509_sign(own, impl_->key.get(), EVP_sha256()) > 0);
  Write(ca_file(), own);
}

TestCa::~TestCa() = default;

std::string TestCa::ca_file() const { return folder_ + "/" + name_ + ".ca.pem"; }

TlsFiles TestCa::Issue(const std::string& name, const Wish& wish) {
  const Owned<EVP_PKEY> key(EVP_EC_gen("P-256"));
  const Owned<X509> made = Make(name, key.get(), wish.begins_s, wish.ends_s);
  X509* issuer = impl_->certificate.get();
  X509_set_issuer_name(made.get(), X509_get_subject_name(issuer));
  std::string names;
  for (const std::string& each : wish.names) names += (names.empty() ? "" : ",") + each;
  if (!names.empty()) Extend(made.get(), issuer, NID_subject_alt_name, names);
  if (!wish.usage.empty()) Extend(made.get(), issuer, NID_ext_key_usage, wish.usage);
  WEIR_CHECK(X509_sign(made.get(), impl_->key.get(), EVP_sha256()) > 0);
  const std::string path = folder_ + "/" + name;
  Write(path + ".pem", made.get());
  WEIR_CHECK(PEM_write_PrivateKey(Create(path + ".key").get(), key.get(), nullptr, nullptr, 0,
                                  nullptr, nullptr) == 1);
  return {path + ".pem", path + ".key", ca_file()};
}

}  // namespace weir::testing
