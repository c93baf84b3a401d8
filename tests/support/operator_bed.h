// See testing/operator_bed.h, which belongs to the public test kit.
#pragma once

#include "testing/operator_bed.h"
