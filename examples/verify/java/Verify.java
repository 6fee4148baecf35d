import java.io.*;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.*;
import java.security.interfaces.ECPublicKey;
import java.security.spec.X509EncodedKeySpec;
import java.time.Instant;
import java.util.*;
import java.util.regex.*;
import java.util.stream.*;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Verifies that certbound signed a request (RFC 9421), and hands out the client's certificate only then. Java 17.0.3 or newer,
 * nothing else. The numbered checks are the same in every language here; docs/verifying.md says why.
 */
public final class Verify {
    static final String LABEL = "certbound";
    static final List<String> REQUIRED = List.of("client-cert", "@method", "@authority", "@path", "content-digest");
    static final long LEEWAY = 5; // seconds by which the clocks may differ
    // Bounded: Java's expressions overflow the stack on long repetitions.
    static final Pattern INPUT = Pattern.compile(
        "=(\\((\"[^\"\\\\]+\"(?: \"[^\"\\\\]+\"){0,31})\\)((?:;[a-z]+=(?:[0-9]{1,15}|\"[^\"\\\\]*\")){0,15}))");
    static final Pattern PARAMETER = Pattern.compile(";([a-z]+)=([0-9]+|\"[^\"]*\")");
    static final Pattern BYTES = Pattern.compile(":([A-Za-z0-9+/]+={0,2}):");
    static final Pattern OUR_LABEL = Pattern.compile("certbound(?![a-z0-9_.*-])");
    static final Pattern OUR_TAG = Pattern.compile(";\\s*tag=\"certbound\"");

    /** Why a request is not believed. For the log, never for the client. */
    public static final class Refused extends Exception {
        Refused(String reason) { super(reason); }
    }

    /** A header field, in the order of the request. */
    public record Header(String name, String value) {}

    /** A key with the algorithm that it is for, whatever a request says. */
    public record Key(String alg, java.security.Key material) {
        /** A public key as PEM, or an HMAC secret in base64. */
        public static Key read(String text) throws GeneralSecurityException {
            if (!text.contains("-----BEGIN")) {
                byte[] secret = Base64.getDecoder().decode(text.strip());
                if (secret.length < 32) throw new InvalidKeyException("the secret is too short");
                if (secret[0] == 0x30 && secret[1] == secret.length - 2) throw new InvalidKeyException("a public key without its PEM armour is no secret");
                return new Key("hmac-sha256", new SecretKeySpec(secret, "HmacSHA256"));
            }
            var spki = new X509EncodedKeySpec(Base64.getMimeDecoder().decode(text.replaceAll("-----[A-Z ]+-----", "")));
            try {
                return new Key("ed25519", KeyFactory.getInstance("Ed25519").generatePublic(spki));
            } catch (GeneralSecurityException notEd25519) {
                var key = (ECPublicKey) KeyFactory.getInstance("EC").generatePublic(spki);
                if (!key.getParams().toString().contains("1.2.840.10045.3.1.7")) throw new InvalidKeyException("not P-256");
                return new Key("ecdsa-p256-sha256", key);
            }
        }

        boolean verifies(byte[] base, byte[] signature) throws GeneralSecurityException {
            if (alg.equals("hmac-sha256")) {
                var mac = Mac.getInstance("HmacSHA256");
                mac.init(material);
                return MessageDigest.isEqual(mac.doFinal(base), signature);
            }
            // r and s, 32 bytes each, are P1363 format. Java 17.0.2 and 18.0.0 take two zeros for right (CVE-2022-21449).
            var zero = new byte[32];
            if (signature.length == 64 && (Arrays.equals(signature, 0, 32, zero, 0, 32) || Arrays.equals(signature, 32, 64, zero, 0, 32))) return false;
            var verifier = Signature.getInstance(alg.equals("ed25519") ? "Ed25519" : "SHA256withECDSAinP1363Format");
            verifier.initVerify((PublicKey) material);
            verifier.update(base);
            try {
                return signature.length == 64 && verifier.verify(signature);
            } catch (SignatureException malformed) {
                return false;
            }
        }
    }

    private final Map<String, Key> keys;
    private final Map<String, Long> nonces = new HashMap<>(); // of this process; servers that run several share them

    /** {@code keys} by keyid. */
    public Verify(Map<String, Key> keys) { this.keys = Map.copyOf(keys); }

    /** The DER encoding of the client's certificate. */
    public synchronized byte[] verify(String method, String authority, String target, List<Header> headers, byte[] body)
            throws Refused, GeneralSecurityException {
        // 1. Exactly one member has our label, in both headers, and none of the others our tag.
        var input = INPUT.matcher(ourMember("signature-input", headers));
        var signature = BYTES.matcher(ourMember("signature", headers).replaceFirst("^=", ""));
        check(input.matches() && signature.matches(), "the signature is malformed");
        var covered = List.of(input.group(2).substring(1, input.group(2).length() - 1).split("\" \""));
        var parameters = new HashMap<String, String>();
        for (var found : PARAMETER.matcher(input.group(3)).results().toList())
            check(parameters.put(found.group(1), found.group(2)) == null, "a parameter is there twice");
        // 2. It is ours, of now, by a key that we know, with that key's algorithm.
        long now = Instant.now().getEpochSecond();
        long created = moment(parameters, "created"), expires = moment(parameters, "expires");
        check("\"certbound\"".equals(parameters.get("tag")), "the tag is another");
        check(created <= now + LEEWAY, "created is not in the past");
        check(created < expires && now <= expires + LEEWAY, "expired");
        var key = keys.get(parameters.getOrDefault("keyid", "").replace("\"", ""));
        check(key != null, "the key is unknown");
        check(("\"" + key.alg + "\"").equals(parameters.get("alg")), "the algorithm is not the key's");
        // 3. It covers all that it must, and every certificate that is there.
        check(new HashSet<>(covered).size() == covered.size(), "a component is covered twice");
        var required = new ArrayList<>(REQUIRED);
        if (values("client-cert-chain", headers).findAny().isPresent()) required.add("client-cert-chain");
        for (var name : required) check(covered.contains(name), name + " is not covered");
        // 4. The signature is right.
        int mark = target.indexOf('?');
        var path = mark < 0 ? target : target.substring(0, mark);
        var derived = Map.of("@method", method, "@authority", authority.toLowerCase(Locale.ROOT).replaceFirst(":443$", ""),
            "@path", path.isEmpty() ? "/" : path, "@query", mark < 0 ? "?" : target.substring(mark));
        var base = new StringBuilder();
        for (var name : covered)
            base.append('"' + name + "\": " + (derived.containsKey(name) ? derived.get(name) : sole(name, headers)) + "\n");
        base.append("\"@signature-params\": " + input.group(1));
        check(key.verifies(base.toString().getBytes(StandardCharsets.UTF_8), decoded(signature.group(1))), "the signature is wrong");
        // 5. The body is the one that was signed.
        var digest = Base64.getEncoder().encodeToString(MessageDigest.getInstance("SHA-256").digest(body));
        check(sole("content-digest", headers).equals("sha-256=:" + digest + ":"), "the body was changed");
        // 6. Each nonce once.
        nonces.values().removeIf(until -> until < now - LEEWAY);
        var nonce = parameters.getOrDefault("nonce", "\"\"");
        check(nonce.length() > 2 && nonces.putIfAbsent(nonce, expires) == null, "the nonce is missing or was used");
        var certificate = BYTES.matcher(sole("client-cert", headers));
        check(certificate.matches(), "client-cert is malformed");
        return decoded(certificate.group(1));
    }

    private static void check(boolean holds, String reason) throws Refused {
        if (!holds) throw new Refused(reason);
    }

    private static byte[] decoded(String base64) throws Refused {
        try {
            return Base64.getDecoder().decode(base64);
        } catch (IllegalArgumentException malformed) {
            throw new Refused("not base64");
        }
    }

    private static long moment(Map<String, String> parameters, String name) throws Refused {
        var text = parameters.getOrDefault(name, "");
        check(text.matches("[0-9]{1,15}"), name + " is missing or malformed");
        return Long.parseLong(text);
    }

    private static Stream<String> values(String name, List<Header> headers) {
        return headers.stream().filter(header -> header.name.equalsIgnoreCase(name)).map(header -> header.value.strip());
    }

    private static String sole(String name, List<Header> headers) throws Refused {
        var found = values(name, headers).toList();
        check(found.size() == 1 && found.get(0).matches("[\t -~]*+"), "not exactly one " + name);
        return found.get(0);
    }

    private static String ourMember(String name, List<Header> headers) throws Refused {
        var all = members(values(name, headers).collect(Collectors.joining(",")));
        var ours = all.stream().filter(member -> OUR_LABEL.matcher(member).lookingAt()).toList();
        var tagged = all.stream().filter(member -> !ours.contains(member) && OUR_TAG.matcher(member).find());
        check(ours.size() == 1 && tagged.findAny().isEmpty(), "not exactly one " + LABEL + " in " + name);
        return ours.get(0).substring(LABEL.length());
    }

    /** Splits a dictionary (RFC 9651) at the commas that are not within strings. */
    private static List<String> members(String text) throws Refused {
        var all = new ArrayList<String>();
        boolean quoted = false;
        int start = 0;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (quoted && c == '\\') i++;
            else if (c == '"') quoted = !quoted;
            else if (c == ',' && !quoted) {
                all.add(text.substring(start, i).strip());
                start = i + 1;
            }
        }
        check(!quoted, "a dictionary is malformed");
        all.add(text.substring(start).strip());
        return all;
    }

    /** java Verify KEYID KEYFILE [REQUEST...], requests as raw HTTP/1.1, else one on the standard input. */
    public static void main(String[] arguments) throws Exception {
        var verifier = new Verify(Map.of(arguments[0], Key.read(Files.readString(Path.of(arguments[1])))));
        var files = arguments.length > 2 ? List.of(arguments).subList(2, arguments.length) : List.of("/dev/stdin");
        boolean failed = false;
        for (var file : files) {
            var bytes = file.equals("/dev/stdin") ? System.in.readAllBytes() : Files.readAllBytes(Path.of(file));
            var text = new String(bytes, StandardCharsets.ISO_8859_1); // a byte, a character
            int end = text.indexOf("\r\n\r\n");
            var lines = text.substring(0, end).split("\r\n");
            var headers = Stream.of(lines).skip(1).map(line -> line.split(":", 2)).map(pair -> new Header(pair[0], pair[1])).toList();
            try {
                var host = sole("host", headers);
                var line = lines[0].split(" ");
                var body = Arrays.copyOfRange(bytes, end + 4, bytes.length);
                var thumbprint = MessageDigest.getInstance("SHA-256").digest(verifier.verify(line[0], host, line[1], headers, body));
                System.out.println("verified " + Base64.getUrlEncoder().withoutPadding().encodeToString(thumbprint));
            } catch (Refused refused) {
                System.out.println("refused: " + refused.getMessage());
                failed = true;
            }
        }
        System.exit(failed ? 1 : 0);
    }
}
