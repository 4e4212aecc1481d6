/* SPDX-License-Identifier: MIT */
#pragma once

/* Socket activation. */

#include "cli/listen.h"

#define ACTIVATION_MAX 4

typedef struct Activation {
        bool has_tcp, has_unix; /* need not be bound any more */
} Activation;

/* Adds the sockets that a service manager handed in to *l. */
int activation_take(Cli *c, Listeners *l, Activation *ret);
/* The unix socket at our place is one of them: nobody else listens there. */
bool activation_has_socket(const Cli *c);
