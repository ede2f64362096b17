/* A single request and its answer, over a connection of its own. */
#ifndef QUESTION_H
#define QUESTION_H

/* Send a request, for example "GET /polls", with a JSON body if `body` is not NULL. Returns the connection. */
int question_send(int port, const char *method_and_target, const char *body);

/* Wait for the answer, which must be 2xx, and close the connection. Returns the number that the answer's body is, or 0
 * when it is none. */
unsigned long question_answer(int fd);

/* Both. */
unsigned long question_ask(int port, const char *method_and_target, const char *body);

#endif
