// What must not be read in a log: passwords, tokens and the like, found by how they are written.
//
// A guess, and a net below care: who puts a line together leaves secrets out. Thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace weir {

// "db.password", "API_KEY", "token": a name whose value is nobody's business.
bool IsSecretName(std::string_view name);

// The text with *** for the values in name=value and "name": "value" where IsSecretName(name), for
// the password in a URL, and for what follows "Bearer" or "Authorization: Basic".
std::string HideSecrets(std::string_view text);

// Replaces a job's parameter wherever the text holds its value, if IsSecretName(name).
void HideParameter(std::string_view name, std::string_view value, std::string& text);

// All of a job's.
template <class Parameters>
void HideParameters(const Parameters& parameters, std::string& text) {
  for (const auto& [name, value] : parameters) HideParameter(name, value, text);
}

}  // namespace weir
