// See testing/temp_dir.h, which belongs to the public test kit.
#pragma once

#include "testing/temp_dir.h"
