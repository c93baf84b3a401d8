// Everything a job definition needs: include this, write a builder function, and name it with
// WEIR_JOB.
#pragma once

#include "jobs/connectors.h"
#include "jobs/job_builder.h"
#include "jobs/job_library.h"
#include "jobs/parameters.h"
#include "jobs/stream.h"
