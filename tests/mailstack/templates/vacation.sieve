# Answers every mail, by a mail to its envelope sender with the null sender (RFC 5230); does not quote it.
require ["vacation", "vacation-seconds"];
vacation :seconds 0 "I am away, and say so each time.";
discard;
