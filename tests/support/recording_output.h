// See testing/recording_output.h, which belongs to the public test kit.
#pragma once

#include "testing/recording_output.h"
