/* SPDX-License-Identifier: MIT */
/* What bounds a line of the control protocol (S7), for all who read or write one. */
#ifndef SMX_CONTROL_LIMITS_H
#define SMX_CONTROL_LIMITS_H

#define SMX_CONTROL_LINE_MAX        8192 /* S7 */
#define SMX_CONTROL_READ_TIMEOUT_MS 30000 /* S7: for a whole line, however its bytes drip */
#define SMX_CONTROL_DEPTH_MAX       8
#define SMX_CONTROL_TEXT_MAX        1024 /* of an error, a remedy, a warning; longer ones are cut */
#define SMX_CONTROL_ROUTE_MAX       255 /* of the name of a route */
#define SMX_CONTROL_NAME_MAX        64 /* of a command, an error code, a program version */
#define SMX_CONTROL_AGENT_MAX       1024 /* of the path of an agent's socket */

#endif
