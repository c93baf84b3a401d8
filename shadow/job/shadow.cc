// The job behind `weir shadow`: two versions of a job on the same input, compared.
#include "jobs/job.h"
#include "shadow/shadow_job.h"

WEIR_JOB(shadow, weir::shadow::BuildShadow)
