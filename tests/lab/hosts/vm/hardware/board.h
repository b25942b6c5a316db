/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where a pretended board says what it is: below the standard header, in the device's own part of its configuration space. */
#define BOARD_GSP 0x40
#define BOARD_NAME 0x44
#define BOARD_NAME_SIZE 64
#define BOARD_UUID 0x84
#define BOARD_UUID_SIZE 48
