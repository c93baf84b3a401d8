// See testing/memory_snapshots.h, which belongs to the public test kit.
#pragma once

#include "testing/memory_snapshots.h"
