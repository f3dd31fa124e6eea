/* SPDX-License-Identifier: MIT */
#include "ssh/probes.h"

#include <string.h>

static void forget(struct smx_probes *p, unsigned i)
{
	p->n--;
	memmove(&p->kept[i], &p->kept[i + 1], (p->n - i) * sizeof(p->kept[0]));
}

void smx_probes_sent(struct smx_probes *p, uint8_t type, uint32_t seq)
{
	if (p->n == SMX_PROBES_KEPT)
		forget(p, 0);
	p->kept[p->n].seq = seq;
	p->kept[p->n++].type = type;
}

void smx_probes_answered(struct smx_probes *p, uint8_t type)
{
	for (unsigned i = 0; i < p->n; i++) {
		if (p->kept[i].type == type) {
			forget(p, i);
			return;
		}
	}
}

uint8_t smx_probes_unimplemented(struct smx_probes *p, uint32_t seq)
{
	uint8_t type;

	for (unsigned i = 0; i < p->n; i++) {
		if (p->kept[i].seq == seq) {
			type = p->kept[i].type;
			forget(p, i);
			return type;
		}
	}
	return 0;
}
