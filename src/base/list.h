/* SPDX-License-Identifier: MIT */
/*
 * Intrusive doubly linked lists. A node that is in no list points to itself,
 * so smx_list_del may be called on it any number of times.
 */
#ifndef SMX_BASE_LIST_H
#define SMX_BASE_LIST_H

#include <stddef.h>

struct smx_list {
	struct smx_list *prev, *next;
};

static inline void smx_list_init(struct smx_list *n)
{
	n->prev = n->next = n;
}

static inline int smx_list_empty(const struct smx_list *n)
{
	return n->next == n;
}

static inline void smx_list_add_tail(struct smx_list *head, struct smx_list *n)
{
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}

static inline void smx_list_del(struct smx_list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	smx_list_init(n);
}

/* clang-format off */
#define SMX_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
/* clang-format on */

/* The body may delete `it`, but no other node. */
#define SMX_LIST_FOREACH(it, tmp, head)                               \
	for ((it) = (head)->next, (tmp) = (it)->next; (it) != (head); \
		(it) = (tmp), (tmp) = (it)->next)

#endif
